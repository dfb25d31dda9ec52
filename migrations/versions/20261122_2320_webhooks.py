"""Webhooks and their outbox.

Revision ID: 5ec000000003
Revises: 0006
Create Date: 2026-11-22 23:20:00
"""

import sqlalchemy as sa
from alembic import op


revision = '5ec000000003'
down_revision = '0006'
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table('webhooks',
    sa.Column('id', BIG_ID, nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('url', sa.String(length=2000), nullable=False),
    sa.Column('secret', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhooks'))
    )
    op.create_index(op.f('ix_webhooks_project'), 'webhooks', ['project'], unique=False)
    op.create_table('deliveries',
    sa.Column('id', BIG_ID, nullable=False),
    sa.Column('webhook_id', BIG_ID, nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('message_id', sa.String(length=40), nullable=False),
    sa.Column('event', sa.String(length=40), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('next_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('error', sa.String(length=500), nullable=True),
    sa.ForeignKeyConstraint(['webhook_id'], ['webhooks.id'], name=op.f('fk_deliveries_webhook_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_deliveries')),
    sa.UniqueConstraint('message_id', name=op.f('uq_deliveries_message_id'))
    )
    due = sa.text('next_at is not null')
    op.create_index('ix_deliveries_due', 'deliveries', ['next_at'], unique=False, sqlite_where=due, postgresql_where=due)
    op.create_index('ix_deliveries_webhook', 'deliveries', ['webhook_id', 'id'], unique=False)


def downgrade() -> None:
    op.drop_table('deliveries')
    op.drop_table('webhooks')
