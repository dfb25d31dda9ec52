"""The audit log, append-only by the database's own triggers.

Revision ID: 5ec000000002
Revises: 0004
Create Date: 2026-11-22 23:00:00
"""

import sqlalchemy as sa
from alembic import op


revision = '5ec000000002'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('actor', sa.String(length=100), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('action', sa.String(length=40), nullable=False),
    sa.Column('object', sa.String(length=200), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=True),
    sa.Column('address', sa.String(length=64), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit'))
    )
    op.create_index('ix_audit_project', 'audit', ['project', 'id'], unique=False)
    if op.get_bind().dialect.name == 'sqlite':
        for act in ('update', 'delete'):
            op.execute(
                f"create trigger audit_no_{act} before {act} on audit "
                "begin select raise(abort, 'the audit log is append-only'); end"
            )
    else:
        op.execute(
            "create function audit_append_only() returns trigger language plpgsql as "
            "$$ begin raise exception 'the audit log is append-only'; end $$"
        )
        op.execute(
            "create trigger audit_append_only before update or delete or truncate on audit "
            "for each statement execute function audit_append_only()"
        )


def downgrade() -> None:
    op.drop_table('audit')
    if op.get_bind().dialect.name != 'sqlite':
        op.execute('drop function audit_append_only()')
