"""When the curves of a study were thinned.

Revision ID: 0007
Revises: 5ec000000003
Create Date: 2026-11-22 23:30:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0007'
down_revision = '5ec000000003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('studies', sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('studies', 'archived_at')
