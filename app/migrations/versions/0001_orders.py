"""Orders, their history and their fills."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _exact() -> sa.types.TypeEngine[object]:
    """NUMERIC, or text where the database would make a float of it."""
    return sa.Numeric(20, 6).with_variant(sa.String(32), "sqlite")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(128)),
        sa.Column("client_order_id", sa.String(64)),
        sa.Column("symbol", sa.String(16), nullable=False, index=True),
        sa.Column("side", sa.String(4), nullable=False),
        sa.Column("order_type", sa.String(8), nullable=False),
        sa.Column("quantity", _exact(), nullable=False),
        sa.Column("limit_price", _exact()),
        sa.Column("time_in_force", sa.String(4), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.Column("filled_quantity", _exact(), nullable=False),
        sa.Column("average_price", _exact()),
        sa.Column("perm_id", sa.BigInteger, index=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.UniqueConstraint("client", "idempotency_key", name="uq_orders_client_idempotency_key"),
    )
    op.create_table(
        "order_history",
        sa.Column("order_id", sa.String(36), sa.ForeignKey("orders.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("at", _moment(), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.UniqueConstraint("order_id", "status", name="uq_order_history_order_id_status"),
    )
    op.create_table(
        "fills",
        sa.Column("order_id", sa.String(36), sa.ForeignKey("orders.id"), primary_key=True),
        sa.Column("exec_id", sa.String(64), primary_key=True),
        sa.Column("quantity", _exact(), nullable=False),
        sa.Column("price", _exact(), nullable=False),
        sa.Column("at", _moment(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("fills")
    op.drop_table("order_history")
    op.drop_table("orders")
