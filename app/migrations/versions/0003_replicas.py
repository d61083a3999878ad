"""Which replica leads, and the kill switch that all of them see."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    leader = op.create_table(
        "gateway_leader",
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("url", sa.String(255), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(sa.insert(leader).values(epoch=0, url="", since=sa.func.now()))
    op.create_table(
        "kill_switch",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("thrown_by", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("kill_switch")
    op.drop_table("gateway_leader")
