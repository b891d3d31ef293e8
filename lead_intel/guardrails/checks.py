"""The Dagster face of the guardrails: one blocking, partition-aware multi-asset check per guarded stage.

Adapters only. The check evaluates the same functions as `gate`, stores the results, shows figures and remedy, and
leaves the upload in the state that a failure means.
"""

# No postponed annotations here: Dagster wants the type of `context` as an object, not as text.
import warnings
from collections.abc import Iterator, Sequence

import dagster as dg
import psycopg

from lead_intel.errors import LeadIntelError, RejectedInput
from lead_intel.failures import without_personal_data
from lead_intel.guardrails.evaluate import GUARDRAILS, evaluate
from lead_intel.guardrails.gate import WARNS_ONLY, acceptance, objection, remembered
from lead_intel.guardrails.inputs import Inputs, gather
from lead_intel.guardrails.result import GuardrailResult, GuardrailState
from lead_intel.partition import UPLOADS
from lead_intel.record import ingestions
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

GUARDED: dict[str, tuple[int, ...]] = {
    "raw_upload": (1, 2),
    "phone_lookups": (3, 6),
    "dnc_verdicts": (4,),
    "enriched_leads": (5,),
    "activation_plan": (7, 8, 9, 10),
}
"""Asset -> the guardrails that are checked on it."""

_AHEAD_OF_ACTIVATION = frozenset(GUARDED["activation_plan"])
"""These stop a push. Of a dry run (activation not marked ready) there is nothing to stop: they only warn."""


def spec(number: int, asset: str) -> dg.AssetCheckSpec:
    """The only place that makes check specs: partitions on checks are a preview in this version of Dagster."""
    guardrail = GUARDRAILS[number]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name=guardrail.name,
            asset=dg.AssetKey(asset.split("/")),
            description=f"Guardrail {number}: {guardrail.title}. On failure: {guardrail.blocks}",
            blocking=number not in WARNS_ONLY,
            partitions_def=UPLOADS,
            metadata={"guardrail": number, "rule_version": guardrail.rule_version},
        )


def guard(asset: str, numbers: Sequence[int]) -> dg.AssetChecksDefinition:
    """One step that runs the guardrails `numbers` side by side for the run's upload."""

    @dg.multi_asset_check(
        name=f"{asset.replace('/', '_')}_guardrails",
        specs=[spec(number, asset) for number in numbers],
        description=f"Pre-flight checks on {asset}: {', '.join(GUARDRAILS[n].title for n in numbers)}.",
    )
    def guardrails(context: dg.AssetCheckExecutionContext, surroundings: Surroundings) -> Iterator[dg.AssetCheckResult]:
        upload = _upload_of(context)
        with without_personal_data(), surroundings.connected() as connection:
            inputs = gather(surroundings.settings, surroundings.policy, connection, upload)
            results = remembered(connection, upload, evaluate(numbers, inputs))
            objections = {result.number: _objection(result, inputs) for result in results}
            stopping = [error for error in objections.values() if error is not None]
            if stopping:
                _park(connection, upload, context.run.run_id, stopping[0])
        for error in stopping:
            context.log.error(f"Stopped by {error.code}: {error}")
        for result in results:
            yield _shown(result, asset, inputs, stops=objections[result.number] is not None)

    return guardrails


def _objection(result: GuardrailResult, inputs: Inputs) -> LeadIntelError | None:
    is_dry_run = inputs.ingestion is not None and not inputs.ingestion.activation_ready
    if is_dry_run and result.number in _AHEAD_OF_ACTIVATION:
        return None
    return objection(result, inputs.policy, inputs.settings)


def _upload_of(context: dg.AssetCheckExecutionContext) -> str:
    return str(context.op_execution_context.partition_key)


def _park(connection: psycopg.Connection, upload: str, run_id: str, error: LeadIntelError) -> None:
    """Leave the upload as `error` wants it, unless another run holds it or held it last."""
    if ingestions.find(connection, upload).run_id not in (None, run_id):
        return
    state = State.REJECTED if isinstance(error, RejectedInput) else State.PAUSED
    ingestions.set_state(connection, upload, state, reason=error.code, message=error.message, remedy=error.remedy)


def _shown(result: GuardrailResult, asset: str, inputs: Inputs, *, stops: bool) -> dg.AssetCheckResult:
    """Dagster knows passed, warning and error: a state that is neither passed nor stopping is shown as a warning."""
    return dg.AssetCheckResult(
        check_name=result.name,
        asset_key=dg.AssetKey(asset.split("/")),
        passed=result.state is GuardrailState.PASSED,
        severity=dg.AssetCheckSeverity.ERROR if stops else dg.AssetCheckSeverity.WARN,
        description=_line(result),
        metadata=_metadata(result, inputs),
    )


def _line(result: GuardrailResult) -> str:
    return result.seen if result.state is GuardrailState.PASSED else f"{_WORDS[result.state]}: {result.seen}"


_WORDS = {
    GuardrailState.FAILED: "Failed",
    GuardrailState.UNVERIFIABLE: "Unverifiable",
    GuardrailState.NOT_APPLICABLE: "Not applicable",
}


def _metadata(result: GuardrailResult, inputs: Inputs) -> dict[str, dg.MetadataValue]:
    """Figures as numbers (plotted over time), then what it means in markdown."""
    shown: dict[str, dg.MetadataValue] = {}
    for name, figure in result.figures.items():
        match figure:
            case str():
                shown[name] = dg.MetadataValue.text(figure)
            case int():
                shown[name] = dg.MetadataValue.int(figure)
            case float():
                shown[name] = dg.MetadataValue.float(figure)
    accepted = None
    if result.state is GuardrailState.UNVERIFIABLE:
        accepted = acceptance(result.number, inputs.policy, inputs.settings)
    lines = [
        f"**{result.state.replace('_', ' ')}** since {result.since:%Y-%m-%d %H:%M:%S} UTC",
        f"- Seen: {result.seen}",
        f"- Blocks: {result.blocks}",
        *([f"- What to do: {result.remedy}"] if result.remedy else []),
        *([f"- Accepted by policy: {accepted}"] if accepted else []),
    ]
    return {
        "state": dg.MetadataValue.text(str(result.state)),
        **shown,
        "remedy": dg.MetadataValue.md("\n".join(lines)),
        "rule_version": dg.MetadataValue.text(result.rule_version),
    }


ALL = [guard(asset, numbers) for asset, numbers in GUARDED.items()]
