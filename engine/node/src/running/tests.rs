use std::sync::Arc;
use std::time::Duration;

use weft_model::NodeState;
use weft_store::Store;

use super::Node;
use crate::testing::{Bench, Fault, TestCommand, completed, soon};

#[tokio::test]
async fn a_node_has_left_only_when_its_work_has_ended() {
    let command = TestCommand::new(|_| std::future::ready(completed()));
    let bench = Bench::with(Some(Arc::new(command.clone())), |config| {
        config.drain_grace = Duration::from_millis(200);
    });
    let node = Node::start(Arc::clone(&bench.session.context));
    bench.store.set("flush_chunk", "", Fault::Hang);
    bench.submit(bench.batch(&["a"], "test ?")).await;
    // This worker ends when it is aborted.
    bench.store.called("flush_chunk", 1).await;
    node.drain();
    let left = async {
        loop {
            let rows = bench.store.nodes().await.unwrap();
            if rows.iter().any(|row| row.state == NodeState::Left) {
                return command.chunks_in_work();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_work = soon("the last row of the node", left).await;
    assert_eq!(in_work, 0, "it works on a chunk that others may take");
    soon("the end of the node", node.ended()).await.unwrap();
    bench.end().await;
}
