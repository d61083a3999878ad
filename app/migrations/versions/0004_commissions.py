"""What an execution cost; unknown for those that are stored already."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _exact() -> sa.types.TypeEngine[object]:
    """NUMERIC, or text where the database would make a float of it."""
    return sa.Numeric(20, 6).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    op.add_column("fills", sa.Column("commission", _exact()))
    op.add_column("fills", sa.Column("commission_currency", sa.String(3)))


def downgrade() -> None:
    op.drop_column("fills", "commission_currency")
    op.drop_column("fills", "commission")
