//! One run of a flow by a statement.

use uuid::Uuid;
use weft_node::flow::{FlowCall, Recovery};
use weft_node::job::{CheckpointHolder, Slot};

use super::FlowRequest;
use super::outputs::show;
use crate::commands::Execution;
use crate::permission::Permit;
use crate::refusal::Refusal;
use crate::services::Services;

/// Runs the flow and shows its outputs.
///
/// # Errors
/// The flow failed, or was stopped because the caller has gone.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<FlowRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services,
        session,
        output,
        stop,
    } = execution;
    let request = permit.request();
    let name = &request.name;
    let recovery = recovery(services, &permit);
    let run_id = match &recovery {
        Some(recovery) => Uuid::new_v5(&Uuid::NAMESPACE_OID, recovery.scope.as_bytes()),
        None => services.ids.uuid(),
    };
    let stop = stop.child_token();
    let running = services.flows.run(FlowCall {
        name: name.clone(),
        inputs: request.inputs.clone(),
        principal: permit.principal().clone(),
        session: session.clone(),
        run_id,
        recovery,
        stop: stop.clone(),
        slot: Slot::default(),
    });
    tokio::pin!(running);
    let ended = tokio::select! {
        biased;
        ended = &mut running => ended,
        () = output.gone() => {
            // The caller has gone: the flow ends between two stages.
            stop.cancel();
            running.await
        }
    };
    let end =
        ended.map_err(|failure| Refusal::failed(format!("flow {name}: {}", failure.message)))?;
    if end.outputs.is_empty() {
        let message = format!("Flow {name} has ended; it has no outputs");
        output.notice(message).await;
        return Ok(());
    }
    show(end.outputs, request.structure, output).await
}

fn recovery(services: &Services, permit: &Permit<FlowRequest>) -> Option<Recovery> {
    let FlowRequest { name, recovery, .. } = permit.request();
    let principal = &permit.principal().name;
    recovery.as_ref().map(|recovery| Recovery {
        scope: format!("flow/{name}/{principal}/{}", recovery.id),
        holder: CheckpointHolder {
            job: format!("BROADWAY {name} {principal}"),
            created: services.clock.now(),
            fence: 0,
            node: services.config.guid.0.clone(),
        },
        max_tries: recovery.max_tries,
        time_to_live: recovery.time_to_live,
        // A flow that has ended is over: the same statement runs it again.
        keeps_end: false,
    })
}
