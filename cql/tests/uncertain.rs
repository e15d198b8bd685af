//! Lost answers of a real cluster, behind a gate that drops them. They run if `WEFT_TEST_CASSANDRA` names a one-node
//! cluster as `host:port`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scylla::client::session_builder::SessionBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;
use weft_cql::{CassandraOptions, CassandraStore, migrate};
use weft_model::{BatchId, ChunkState, Holder, Incarnation, NodeId, Token};
use weft_store::{Attempt, ClaimChunk, OpenChunk, Store};

/// What the gate does with answers. Requests always pass.
#[derive(Debug, Default)]
struct Gate {
    /// Drops answers.
    shut: AtomicBool,
    /// Closes the connection at the next answer.
    cut: AtomicBool,
}

async fn run_gate(listener: TcpListener, target: String, gate: Arc<Gate>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else {
            continue;
        };
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::spawn(pass(client_read, server_write, None));
        tokio::spawn(pass(server_read, client_write, Some(Arc::clone(&gate))));
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, gate: Option<Arc<Gate>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        if let Some(gate) = &gate {
            if gate.cut.load(Ordering::SeqCst) {
                return;
            }
            if gate.shut.load(Ordering::SeqCst) {
                // The rest of a dropped answer must not follow, so this connection is lost for good.
                while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                return;
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

struct Behind {
    gate: Arc<Gate>,
    store: CassandraStore,
    direct: CassandraOptions,
}

async fn behind_a_gate() -> Result<Option<Behind>> {
    let Ok(target) = std::env::var("WEFT_TEST_CASSANDRA") else {
        return Ok(None);
    };
    if target.contains(',') {
        return Ok(None); // the driver would bypass the gate
    }
    let mut direct = CassandraOptions::at([target.clone()]);
    direct.cluster_id = format!("u{}", &Uuid::new_v4().simple().to_string()[..10]);
    migrate(&direct).await?;
    let gate = Arc::new(Gate::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut options = direct.clone();
    options.contact_points = vec![listener.local_addr()?.to_string()];
    options.request_timeout = Duration::from_millis(700);
    tokio::spawn(run_gate(listener, target, Arc::clone(&gate)));
    let store = CassandraStore::connect(options).await?;
    Ok(Some(Behind {
        gate,
        store,
        direct,
    }))
}

fn opening(batch: BatchId) -> OpenChunk {
    OpenChunk {
        batch,
        number: 0,
        state: ChunkState::New,
        holder: None,
        ids: vec!["1".to_owned()],
        source_position: None,
        source_read: None,
        token: Token(Uuid::new_v4()),
    }
}

fn claim(batch: BatchId) -> ClaimChunk {
    ClaimChunk {
        batch,
        number: 0,
        seen_fence: 1,
        holder: Holder {
            node: NodeId("me".to_owned()),
            incarnation: Incarnation(Uuid::new_v4()),
        },
        crashes: 0,
        token: Token(Uuid::new_v4()),
    }
}

/// Sends a claim until the answer is definite, as `settle` does.
async fn settled(store: &CassandraStore, claim: &ClaimChunk) -> Result<bool> {
    for _ in 0..100 {
        match store.claim_chunk(claim).await {
            Ok(Attempt::Applied) => return Ok(true),
            Ok(Attempt::Lost(_)) => return Ok(false),
            Ok(Attempt::Unknown(_)) => (),
            Err(error) => ensure!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("no definite answer")
}

async fn drop_keyspaces(options: &CassandraOptions) -> Result<()> {
    let session = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .build()
        .await?;
    for name in ["k2viewsystem", "k2batchprocess"] {
        let text = format!("DROP KEYSPACE {name}_{}", options.cluster_id);
        let mut statement = scylla::statement::Statement::new(text);
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        session.query_unpaged(statement, ()).await?;
    }
    Ok(())
}

/// An attempt whose answer is lost is Unknown. Sending the identical attempt again shows that it applied.
async fn a_lost_answer_is_unknown_and_settles(shut: impl Fn(&Gate, bool)) -> Result<()> {
    let Some(behind) = behind_a_gate().await? else {
        return Ok(());
    };
    let batch = BatchId(Uuid::new_v4());
    let opened = behind.store.open_chunk(&opening(batch)).await?;
    ensure!(opened == Attempt::Applied, "{opened}");
    let mine = claim(batch);
    shut(&behind.gate, true);
    let answer = behind.store.claim_chunk(&mine).await?;
    ensure!(matches!(answer, Attempt::Unknown(_)), "{answer}");
    shut(&behind.gate, false);
    // Another connection shows that it applied.
    let other = CassandraStore::connect(behind.direct.clone()).await?;
    let head = other
        .chunk_heads(batch, 0, 1)
        .await?
        .pop()
        .context("the chunk exists")?;
    ensure!(
        head.token == Some(mine.token) && head.fence == 2,
        "{head:?}"
    );
    ensure!(
        settled(&behind.store, &mine).await?,
        "the first sending applied"
    );
    ensure!(
        !settled(&behind.store, &claim(batch)).await?,
        "the fence has moved"
    );
    drop_keyspaces(&behind.direct).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_answer_settles() -> Result<()> {
    a_lost_answer_is_unknown_and_settles(|gate, shut| gate.shut.store(shut, Ordering::SeqCst)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_settles() -> Result<()> {
    a_lost_answer_is_unknown_and_settles(|gate, cut| gate.cut.store(cut, Ordering::SeqCst)).await
}
