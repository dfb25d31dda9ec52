"""A claim is known by its token among all attempts, not only among those that last.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-22 23:10:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_attempts_token', 'attempts', ['token_hash'], unique=False)
    op.drop_index('ix_trials_token', table_name='trials')


def downgrade() -> None:
    op.create_index('ix_trials_token', 'trials', ['token_hash'], unique=False, sqlite_where=sa.text("status = 'leased'"), postgresql_where=sa.text("status = 'leased'"))
    op.drop_index('ix_attempts_token', table_name='attempts')
