"""First tables: studies, trials, attempts, points, workers, pulse.

Revision ID: 0001
Revises: 
Create Date: 2026-11-22 19:29:16.406665
"""

import sqlalchemy as sa
from alembic import op


revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('pulse',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('beat_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_pulse_one_row')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_pulse'))
    )
    op.create_table('studies',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('definition', sa.JSON(), nullable=False),
    sa.Column('task_key', sa.String(length=130), nullable=False),
    sa.Column('planned', sa.Integer(), nullable=True),
    sa.Column('next_number', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'running') = (finished_at is null)", name=op.f('ck_studies_finished')),
    sa.CheckConstraint("status in ('running', 'complete', 'stopped', 'failed')", name=op.f('ck_studies_status')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_studies'))
    )
    with op.batch_alter_table('studies', schema=None) as batch_op:
        batch_op.create_index('ix_studies_running', ['id'], unique=False, sqlite_where=sa.text("status = 'running'"), postgresql_where=sa.text("status = 'running'"))

    op.create_table('workers',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('device', sa.String(length=120), nullable=False),
    sa.Column('version', sa.String(length=40), nullable=False),
    sa.Column('tasks', sa.JSON(), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_workers'))
    )
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_workers_last_seen_at'), ['last_seen_at'], unique=False)

    op.create_table('trials',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('study_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('family', sa.String(length=64), nullable=False),
    sa.Column('params', sa.JSON(), nullable=False),
    sa.Column('config', sa.String(length=16), nullable=False),
    sa.Column('schedule', sa.JSON(), nullable=False),
    sa.Column('seed', sa.BigInteger(), nullable=False),
    sa.Column('report_every', sa.Integer(), nullable=False),
    sa.Column('task_key', sa.String(length=130), nullable=False),
    sa.Column('fusion_key', sa.String(length=64), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('worker_id', sa.String(length=64), nullable=True),
    sa.Column('token_hash', sa.String(length=64), nullable=True),
    sa.Column('lease_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lost', sa.Integer(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('objective', sa.Double(), nullable=True),
    sa.Column('metrics', sa.JSON(), nullable=False),
    sa.Column('total_steps', sa.BigInteger(), nullable=True),
    sa.Column('steps_per_epoch', sa.BigInteger(), nullable=True),
    sa.Column('steps_done', sa.BigInteger(), nullable=False),
    sa.Column('engine', sa.String(length=64), nullable=True),
    sa.Column('device_seconds', sa.Double(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'leased') = (lease_expires_at is not null)", name=op.f('ck_trials_lease_expires')),
    sa.CheckConstraint("(status = 'leased') = (token_hash is not null)", name=op.f('ck_trials_lease_token')),
    sa.CheckConstraint("(status in ('queued', 'leased')) = (finished_at is null)", name=op.f('ck_trials_finished')),
    sa.CheckConstraint("status <> 'complete' or objective is not null", name=op.f('ck_trials_objective')),
    sa.CheckConstraint("status in ('queued', 'leased', 'complete', 'pruned', 'diverged', 'failed', 'cancelled')", name=op.f('ck_trials_status')),
    sa.ForeignKeyConstraint(['study_id'], ['studies.id'], name=op.f('fk_trials_study_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_trials')),
    sa.UniqueConstraint('study_id', 'number', name=op.f('uq_trials_study_id_number'))
    )
    with op.batch_alter_table('trials', schema=None) as batch_op:
        batch_op.create_index('ix_trials_fusion', ['fusion_key', 'id'], unique=False, sqlite_where=sa.text("status = 'queued'"), postgresql_where=sa.text("status = 'queued'"))
        batch_op.create_index('ix_trials_leased', ['lease_expires_at'], unique=False, sqlite_where=sa.text("status = 'leased'"), postgresql_where=sa.text("status = 'leased'"))
        batch_op.create_index('ix_trials_queued', ['task_key', 'id'], unique=False, sqlite_where=sa.text("status = 'queued'"), postgresql_where=sa.text("status = 'queued'"))
        batch_op.create_index('ix_trials_study_config', ['study_id', 'config'], unique=False)
        batch_op.create_index('ix_trials_study_status', ['study_id', 'status'], unique=False)
        batch_op.create_index('ix_trials_token', ['token_hash'], unique=False, sqlite_where=sa.text("status = 'leased'"), postgresql_where=sa.text("status = 'leased'"))

    op.create_table('attempts',
    sa.Column('trial_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('worker_id', sa.String(length=64), nullable=False),
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(), nullable=True),
    sa.CheckConstraint("(outcome = 'active') = (ended_at is null)", name=op.f('ck_attempts_ended')),
    sa.ForeignKeyConstraint(['trial_id'], ['trials.id'], name=op.f('fk_attempts_trial_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('trial_id', 'number', name=op.f('pk_attempts'))
    )
    with op.batch_alter_table('attempts', schema=None) as batch_op:
        batch_op.create_index('uq_attempts_active', ['trial_id'], unique=True, sqlite_where=sa.text("outcome = 'active'"), postgresql_where=sa.text("outcome = 'active'"))

    op.create_table('points',
    sa.Column('trial_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('step', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('values', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['trial_id'], ['trials.id'], name=op.f('fk_points_trial_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('trial_id', 'attempt', 'step', name=op.f('pk_points')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    op.drop_table('points')
    with op.batch_alter_table('attempts', schema=None) as batch_op:
        batch_op.drop_index('uq_attempts_active', sqlite_where=sa.text("outcome = 'active'"), postgresql_where=sa.text("outcome = 'active'"))

    op.drop_table('attempts')
    with op.batch_alter_table('trials', schema=None) as batch_op:
        batch_op.drop_index('ix_trials_token', sqlite_where=sa.text("status = 'leased'"), postgresql_where=sa.text("status = 'leased'"))
        batch_op.drop_index('ix_trials_study_status')
        batch_op.drop_index('ix_trials_study_config')
        batch_op.drop_index('ix_trials_queued', sqlite_where=sa.text("status = 'queued'"), postgresql_where=sa.text("status = 'queued'"))
        batch_op.drop_index('ix_trials_leased', sqlite_where=sa.text("status = 'leased'"), postgresql_where=sa.text("status = 'leased'"))
        batch_op.drop_index('ix_trials_fusion', sqlite_where=sa.text("status = 'queued'"), postgresql_where=sa.text("status = 'queued'"))

    op.drop_table('trials')
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_workers_last_seen_at'))

    op.drop_table('workers')
    with op.batch_alter_table('studies', schema=None) as batch_op:
        batch_op.drop_index('ix_studies_running', sqlite_where=sa.text("status = 'running'"), postgresql_where=sa.text("status = 'running'"))

    op.drop_table('studies')
    op.drop_table('pulse')
