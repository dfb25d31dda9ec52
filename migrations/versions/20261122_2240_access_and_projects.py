"""Access tokens with their projects; studies belong to a project, workers to a token.

Revision ID: 5ec000000001
Revises: 0001
Create Date: 2026-11-22 22:40:00
"""

import sqlalchemy as sa
from alembic import op


revision = '5ec000000001'
down_revision = '0001'
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table('access_tokens',
    sa.Column('id', BIG_ID, nullable=False),
    sa.Column('key', sa.String(length=12), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("role in ('admin', 'submitter', 'worker', 'viewer')", name=op.f('ck_access_tokens_role')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_access_tokens')),
    sa.UniqueConstraint('key', name=op.f('uq_access_tokens_key'))
    )
    op.create_table('token_projects',
    sa.Column('token_id', BIG_ID, nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['token_id'], ['access_tokens.id'], name=op.f('fk_token_projects_token_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('token_id', 'project', name=op.f('pk_token_projects'))
    )
    op.add_column('studies', sa.Column('project', sa.String(length=64), server_default='default', nullable=False))
    op.create_index('ix_studies_project', 'studies', ['project', 'id'], unique=False)
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.add_column(sa.Column('token_id', BIG_ID, nullable=True))
        batch_op.create_foreign_key(batch_op.f('fk_workers_token_id'), 'access_tokens', ['token_id'], ['id'])


def downgrade() -> None:
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('fk_workers_token_id'), type_='foreignkey')
        batch_op.drop_column('token_id')
    op.drop_index('ix_studies_project', table_name='studies')
    op.drop_column('studies', 'project')
    op.drop_table('token_projects')
    op.drop_table('access_tokens')
