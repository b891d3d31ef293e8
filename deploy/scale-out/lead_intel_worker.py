"""The Celery application of the workers that run Dagster's runs on any machine: docs/scale-out.md.

`celery --workdir deploy/scale-out -A lead_intel_worker worker`. Names tasks and how they are fetched; what a run does
is the product's business, where the broker is the environment's.
"""

from __future__ import annotations

import os

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task, create_task

_BROKER = os.environ["LEAD_INTEL_BROKER_URL"]

app = make_app(
    {
        "broker": _BROKER,
        "backend": _BROKER,
        "config_source": {
            # A busy worker holds no second run back from an idle one, and none dies with it unseen in its queue.
            "worker_prefetch_multiplier": 1,
            "worker_disable_prefetch": True,
            # Definitions stay loaded from run to run; what a library leaks does not stay for ever.
            "worker_max_tasks_per_child": 25,
            "broker_connection_retry_on_startup": True,
        },
    }
)

execute_plan = create_task(app)
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)
