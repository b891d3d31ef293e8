"""The `preflight` job: the ten checks and nothing else, for people who work in Dagster's web UI."""

# No postponed annotations here: Dagster wants the type of `context` as an object, not as text.
import dagster as dg

from lead_intel.guardrails.preflight import is_go
from lead_intel.guardrails.preflight import preflight as evaluated
from lead_intel.surroundings import Surroundings


class PreflightConfig(dg.Config):
    """Ask in general, or about one upload."""

    upload: str | None = None


@dg.op(description="Evaluates all ten guardrails and keeps the results.")
def ten_guardrails(context: dg.OpExecutionContext, config: PreflightConfig, surroundings: Surroundings) -> None:
    """Show the ten as a table; fail when one of them would stop an upload."""
    settings, policy = surroundings.settings, surroundings.policy
    with surroundings.connected() as connection:
        results = evaluated(settings, policy, connection, config.upload)
    context.add_output_metadata(
        {
            "guardrails": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {"number": r.number, "name": r.name, "state": str(r.state), "seen": r.seen, "remedy": r.remedy}
                    )
                    for r in results
                ]
            )
        }
    )
    if not is_go(results, policy, settings):
        stopping = "; ".join(f"guardrail {r.number} ({r.name}): {r.seen}" for r in results if r.state == "failed")
        raise dg.Failure(description=stopping or "A guardrail is unverifiable and not accepted.", allow_retries=False)


@dg.job(
    description="The ten pre-flight checks, before any money is spent.",
    tags={"dagster/max_runtime": "120"},
    executor_def=dg.in_process_executor,
)
def preflight() -> None:
    """One op; partitions and assets are not touched."""
    ten_guardrails()
