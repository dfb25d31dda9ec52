"""Artifacts, and what an attempt resumed from.

Revision ID: 0003
Revises: 5ec000000001
Create Date: 2026-11-22 22:20:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '5ec000000001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('artifacts',
    sa.Column('trial_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('key', sa.String(length=100), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('size > 0', name=op.f('ck_artifacts_size')),
    sa.ForeignKeyConstraint(['trial_id'], ['trials.id'], name=op.f('fk_artifacts_trial_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('trial_id', 'name', name=op.f('pk_artifacts')),
    sa.UniqueConstraint('key', name=op.f('uq_artifacts_key'))
    )
    op.create_index('ix_artifacts_checkpoints', 'artifacts', ['trial_id'], unique=False, sqlite_where=sa.text("name = 'checkpoint'"), postgresql_where=sa.text("name = 'checkpoint'"))
    op.add_column('attempts', sa.Column('resumed_attempt', sa.Integer(), nullable=True))
    op.add_column('attempts', sa.Column('resumed_from', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('attempts', 'resumed_from')
    op.drop_column('attempts', 'resumed_attempt')
    op.drop_index('ix_artifacts_checkpoints', 'artifacts', sqlite_where=sa.text("name = 'checkpoint'"), postgresql_where=sa.text("name = 'checkpoint'"))
    op.drop_table('artifacts')
