//! What the server counts is what happened, and only the internal listener says it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::metrics::{METRICS, Metrics};
use sealwire_tests::server::page;
use sealwire_tests::stranger::{Dial, Identity, Stranger, dummy};

/// What the test expects of each metric that it names.
fn assert_values(metrics: &Metrics, expected: &[(&str, f64)]) {
    let found: Vec<(&str, f64)> = expected.iter().map(|(name, _)| (*name, metrics.get(name))).collect();
    assert_eq!(found, expected);
}

/// Somebody who has registered and whose mailbox was found empty, so that what comes is handed over.
async fn here(server: &Server, name: &str) -> Stranger {
    let mut person = server.register(name).await;
    person.expect("queue").await;
    person
}

#[tokio::test]
async fn the_metrics_say_what_happened() {
    let server = Server::with(&[METRICS]).start().await;
    let (mut alice, mut bob) = (here(&server, "alice").await, here(&server, "bob").await);
    let away = Arc::new(Identity::new("carol"));
    server.register_as(away.clone(), Dial::default()).await.close().await;

    // Two that are handed over, one that is stored.
    for _ in 0..2 {
        let id = alice.send_dummy(&bob.who).await;
        bob.take_message().await;
        alice.expect_status("delivered", &id).await;
    }
    let id = alice.send_dummy(&away).await;
    alice.expect_status("queued", &id).await;
    // One that is handed over and not acknowledged.
    let undecided = alice.send_dummy(&bob.who).await;
    let message = bob.next_message().await;
    bob.settle().await;
    alice.settle().await;

    let metrics = Metrics::of(&server).await;
    assert_values(
        &metrics,
        &[
            (r#"sealwire_messages_total{status="delivered"}"#, 2.0),
            (r#"sealwire_messages_total{status="queued"}"#, 1.0),
            (r#"sealwire_messages_total{status="refused"}"#, 0.0),
            (r#"sealwire_first_status_seconds_count{status="delivered"}"#, 2.0),
            (r#"sealwire_first_status_seconds_count{status="queued"}"#, 1.0),
            ("sealwire_messages_accepted_total", 4.0),
            ("sealwire_messages_undecided", 1.0),
            ("sealwire_copies_in_flight", 1.0),
            (r#"sealwire_copies_to_store_total{cause="away"}"#, 1.0),
            (r#"sealwire_spool_appends_total{outcome="stored"}"#, 1.0),
            (r#"sealwire_log_ins_total{outcome="accepted"}"#, 3.0),
            ("sealwire_connections_opened_total", 3.0),
            ("sealwire_sessions", 2.0),
            ("sealwire_sessions_draining", 0.0),
            ("sealwire_connections_greeting", 0.0),
            ("sealwire_store_up", 1.0),
            ("sealwire_draining", 0.0),
            (r#"sealwire_verifications_total{outcome="checked"}"#, 3.0),
            (r#"sealwire_store_errors_total{kind="unavailable"}"#, 0.0),
        ],
    );
    assert!(metrics.get(r#"sealwire_store_seconds_count{operation="execute"}"#) >= 1.0);
    assert!(metrics.get("sealwire_frames_received_total") >= 8.0);

    bob.ack(message["seq"].as_u64().expect("a number")).await;
    alice.expect_status("delivered", &undecided).await;
    let metrics = Metrics::of(&server).await;
    assert_values(
        &metrics,
        &[
            (r#"sealwire_messages_total{status="delivered"}"#, 3.0),
            ("sealwire_messages_undecided", 0.0),
            ("sealwire_copies_in_flight", 0.0),
        ],
    );
}

#[tokio::test]
async fn what_a_silent_device_leaves_is_counted_as_stored_for_that() {
    let server = Server::with(&[METRICS, ("SEALWIRE_TIMING_HAND_OVER", "50ms")]).start().await;
    let (mut alice, mut bob) = (here(&server, "alice").await, here(&server, "bob").await);
    let id = alice.send_dummy(&bob.who).await;
    bob.next_message().await;
    alice.expect_status("queued", &id).await;
    let metrics = Metrics::of(&server).await;
    assert_values(&metrics, &[(r#"sealwire_copies_to_store_total{cause="silent"}"#, 1.0)]);
}

#[tokio::test]
async fn spills_and_backlogs_are_counted_by_their_cause() {
    let settings = [METRICS, ("SEALWIRE_TIMING_HAND_OVER", "1h"), ("SEALWIRE_LIMITS_WINDOW_MESSAGES", "1")];
    let server = Server::with(&settings).start().await;
    let (mut alice, mut bob) = (here(&server, "alice").await, here(&server, "bob").await);
    // The first fills Bob's window, so the second is stored, and the third behind it; the first when he goes.
    let in_flight = alice.send_dummy(&bob.who).await;
    bob.next_message().await;
    for _ in 0..2 {
        let id = alice.send_dummy(&bob.who).await;
        alice.expect_status("queued", &id).await;
    }
    let away = bob.who.clone();
    bob.close().await;
    alice.expect_status("queued", &in_flight).await;
    server.log_in(&away).await;

    let metrics = Metrics::of(&server).await;
    assert_values(
        &metrics,
        &[
            (r#"sealwire_copies_to_store_total{cause="full"}"#, 1.0),
            (r#"sealwire_copies_to_store_total{cause="behind"}"#, 1.0),
            (r#"sealwire_copies_to_store_total{cause="ended"}"#, 1.0),
            (r#"sealwire_mailbox_messages_at_log_in_bucket{le="0"}"#, 2.0),
            (r#"sealwire_mailbox_messages_at_log_in_bucket{le="5"}"#, 3.0),
            ("sealwire_mailbox_messages_at_log_in_sum", 3.0),
        ],
    );
}

#[tokio::test]
async fn refusals_are_counted_by_their_reason() {
    let limits = [("SEALWIRE_LIMITS_MESSAGES_PER_MINUTE", "1"), ("SEALWIRE_LIMITS_CONNECTIONS_PER_IP", "3")];
    let server = Server::with([METRICS].iter().chain(&limits)).start().await;
    let (mut alice, bob) = (here(&server, "alice").await, here(&server, "bob").await);
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    Dial::default().to(&server).await.expect_err("a fourth connection of this address");
    alice.send_dummy(&bob.who).await;
    let mut to_nobody = dummy(&bob.who);
    to_nobody["id"] = "one too many".into();
    alice.send_frame(&to_nobody).await;
    alice.expect_where("the refusal", |frame| frame["id"] == "one too many").await;
    wire.send_frame(&Identity::new("nobody").auth(&challenge)).await;
    wire.expect("error").await;

    let metrics = Metrics::of(&server).await;
    assert_values(
        &metrics,
        &[
            (r#"sealwire_connections_refused_total{reason="address_full"}"#, 1.0),
            (r#"sealwire_limits_hit_total{limit="messages"}"#, 1.0),
            (r#"sealwire_errors_total{code="rate_limited"}"#, 1.0),
            (r#"sealwire_errors_total{code="auth_failed"}"#, 1.0),
            (r#"sealwire_log_ins_total{outcome="auth_failed"}"#, 1.0),
            (r#"sealwire_connections_closed_total{reason="authentication"}"#, 1.0),
        ],
    );
}

#[tokio::test]
async fn only_the_internal_listener_serves_metrics_and_it_serves_nothing_else() {
    let server = Server::with(&[METRICS]).start().await;
    for (listener, path, status) in [
        (server.address(), "/metrics", 404),
        (server.address(), "/healthz", 200),
        (server.address(), "/readyz", 200),
        (server.internal(), "/metrics", 200),
        (server.internal(), "/healthz", 200),
        (server.internal(), "/readyz", 200),
        (server.internal(), "/ws", 404),
        (server.internal(), "/", 404),
    ] {
        assert_eq!(page(listener, path).await.expect("an answer").status, status, "{path} on {listener}");
    }
    let page = page(server.internal(), "/metrics").await.expect("an answer");
    assert!(page.head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
}

#[tokio::test]
async fn without_a_listener_of_its_own_no_metrics_are_served() {
    let server = Server::start().await;
    assert_eq!(server.get("/metrics").await.expect("an answer"), 404);
    assert!(!server.log().contains("serving metrics"));
}

#[tokio::test]
async fn prometheus_own_check_of_the_page_finds_no_fault() {
    let server = Server::with(&[METRICS]).start().await;
    let metrics = Metrics::of(&server).await;
    assert!(metrics.names().any(|name| name == "process_open_fds"), "the process shows itself");
    let check = |text: &str| {
        let mut promtool = Command::new("promtool");
        let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped());
        let mut child =
            promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("`make setup` installs it");
        child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (good, said) = check(&metrics.text);
    assert!(good, "{said}");
    let (good, _) = check(&metrics.text.replace("sealwire_messages_total", "sealwire_messages"));
    assert!(!good, "a counter without `_total` would be found");
}

#[tokio::test]
async fn every_metric_of_the_page_in_the_docs_is_served_from_the_start_and_no_name_is_in_it() {
    let server = Server::with(&[METRICS]).start().await;
    let _alice = server.register("alice-of-the-metrics").await;
    let metrics = Metrics::of(&server).await;
    let docs = include_str!("../docs/metrics.md");
    let listed: Vec<&str> = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(listed.len() > 30, "the page has a table");
    // Of a bus only a node of a cluster has something to say.
    let listed: Vec<&str> = listed.into_iter().filter(|name| !name.starts_with("sealwire_bus_")).collect();
    let served = |name: &str| metrics.names().any(|value| value.starts_with(name));
    let missing: Vec<_> = listed.iter().filter(|name| !served(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!metrics.text.contains("alice-of-the-metrics"));
}
