"""When studies and trials changed, and indices that answer a study's pages.

Revision ID: 0005
Revises: 5ec000000002
Create Date: 2026-11-22 23:05:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '5ec000000002'
branch_labels = None
depends_on = None

_RANKED = sa.text("status in ('complete', 'diverged')")


def upgrade() -> None:
    op.create_table('ticks',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('now', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_ticks_one_row')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ticks'))
    )
    op.execute("INSERT INTO ticks (id, now) VALUES (1, 1)")
    # With a default for as long as the rows lack one, and for a process of the version before during an upgrade.
    op.add_column('studies', sa.Column('changed', sa.BigInteger(), nullable=False, server_default='0'))
    op.add_column('trials', sa.Column('changed', sa.BigInteger(), nullable=False, server_default='0'))
    op.drop_index('ix_trials_study_status', 'trials')
    op.drop_index('ix_trials_study_config', 'trials')
    op.create_index('ix_trials_tally', 'trials', ['study_id', 'status', 'device_seconds'])
    op.create_index('ix_trials_changed', 'trials', ['study_id', 'changed', 'number'])
    op.create_index('ix_trials_ranking', 'trials', ['study_id', 'config', 'status', 'objective', 'number'], sqlite_where=_RANKED, postgresql_where=_RANKED)
    op.create_index('ix_trials_ended', 'trials', ['study_id', 'finished_at', 'number', 'status'])


def downgrade() -> None:
    for name in ('ix_trials_ended', 'ix_trials_ranking', 'ix_trials_changed', 'ix_trials_tally'):
        op.drop_index(name, 'trials')
    op.create_index('ix_trials_study_config', 'trials', ['study_id', 'config'])
    op.create_index('ix_trials_study_status', 'trials', ['study_id', 'status'])
    op.drop_column('trials', 'changed')
    op.drop_column('studies', 'changed')
    op.drop_table('ticks')
