"""Stop prices, changed terms, and a history that may enter a status again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = ("stop_price", "changed_quantity", "changed_limit_price", "changed_stop_price")
_ONCE = "uq_order_history_order_id_status"


def _exact() -> sa.types.TypeEngine[object]:
    """NUMERIC, or text where the database would make a float of it."""
    return sa.Numeric(20, 6).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("orders", sa.Column(name, _exact()))
    with op.batch_alter_table("order_history") as table:  # SQLite writes the table anew
        table.drop_constraint(_ONCE, type_="unique")


def downgrade() -> None:
    with op.batch_alter_table("order_history") as table:
        table.create_unique_constraint(_ONCE, ["order_id", "status"])
    for name in _COLUMNS:
        op.drop_column("orders", name)
