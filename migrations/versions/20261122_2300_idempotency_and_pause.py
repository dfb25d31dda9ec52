"""Idempotency keys; studies can be paused and have a version.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-22 23:00:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('idempotency_keys',
    sa.Column('asker', sa.String(length=32), nullable=False),
    sa.Column('key', sa.String(length=128), nullable=False),
    sa.Column('request', sa.String(length=64), nullable=False),
    sa.Column('study_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['study_id'], ['studies.id'], name=op.f('fk_idempotency_keys_study_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('asker', 'key', name=op.f('pk_idempotency_keys'))
    )
    op.create_index(op.f('ix_idempotency_keys_created_at'), 'idempotency_keys', ['created_at'], unique=False)
    op.add_column('studies', sa.Column('version', sa.Integer(), server_default='0', nullable=False))
    op.add_column('studies', sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_studies_paused', 'studies', ['id'], unique=False, sqlite_where=sa.text('paused_at is not null'), postgresql_where=sa.text('paused_at is not null'))


def downgrade() -> None:
    op.drop_index('ix_studies_paused', 'studies', sqlite_where=sa.text('paused_at is not null'), postgresql_where=sa.text('paused_at is not null'))
    op.drop_column('studies', 'paused_at')
    op.drop_column('studies', 'version')
    op.drop_index(op.f('ix_idempotency_keys_created_at'), 'idempotency_keys')
    op.drop_table('idempotency_keys')
