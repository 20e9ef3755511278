//! The load generator against real servers: what it counts is what happened, and it fails loudly.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sealwire_parts::ports::free_addresses;
use sealwire_tests::Server;
use sealwire_tests::server::{NO_LIMITS, binary};
use sealwire_tests::stranger::{b64, key_of_pool};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Keys in the repository; making them would take most of the test's time.
const KEYS: usize = 20;

/// A place to run from, with keys.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let place = TempDir::with_prefix("sealwire-loadtest-").expect("a directory can be made");
        let mut keys = String::new();
        (0..KEYS).for_each(|n| writeln!(keys, "{}", b64(key_of_pool(n))).expect("a string takes all"));
        std::fs::write(place.path().join("keys"), keys).expect("the keys can be written");
        Self(place)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs against a server to the end.
    async fn run(&self, server: &Server, arguments: &[&str]) -> Output {
        self.run_at(&server.url(), server.pid(), arguments).await
    }

    async fn run_at(&self, url: &str, pid: u32, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("sealwire-loadtest"));
        command.args(arguments).args(["--url", url, "--threads", "2", "--server-pid", &pid.to_string()]);
        command.arg("--keys").arg(self.file("keys")).arg("--json").arg(self.file("json"));
        command.arg("--html").arg(self.file("html"));
        command.kill_on_drop(true).output().await.expect("the load generator runs")
    }

    /// Runs what must go well; gives the report.
    async fn good(&self, server: &Server, arguments: &[&str]) -> Value {
        let output = self.run(server, arguments).await;
        let (out, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{progress}\n{}", output.status, server.log());
        assert!(out.ends_with("GOOD: nothing lost, repeated or out of order\n"), "{out}");
        let report = self.report();
        assert_eq!(report["check"]["good"], true);
        report
    }

    fn report(&self) -> Value {
        let json = std::fs::read(self.file("json")).expect("the report was written");
        serde_json::from_slice(&json).expect("it is JSON")
    }
}

fn period<'a>(report: &'a Value, name: &str) -> &'a Value {
    let periods = report["periods"].as_array().expect("a list");
    periods.iter().find(|period| period["name"] == name).expect("the report has this period")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// Something was sent, and all of it has come and was answered.
fn assert_all_came(check: &Value) {
    assert!(number(&check["sent"]) > 0, "{check}");
    assert_eq!((&check["delivered"], &check["unanswered"]), (&check["sent"], &0.into()), "{check}");
}

#[tokio::test]
async fn idle_connections_are_logged_in_and_weighed() {
    let server = Server::with(NO_LIMITS).start().await;
    let report = Bench::new().good(&server, &["idle", "--connections", "12", "--seconds", "1"]).await;
    assert_eq!(period(&report, "log in")["log_ins"], 12);
    assert_eq!(period(&report, "idle")["connections"], 12);
    assert!(report["figures"]["server memory per connection (bytes)"].is_f64(), "{report}");
}

#[tokio::test]
async fn sessions_are_prolonged_so_that_a_run_may_last() {
    // A challenge comes after a second; there are five to answer it.
    let timing = [("SEALWIRE_TIMING_SESSION", "6s"), ("SEALWIRE_TIMING_RENEWAL", "5s")];
    let server = Server::with(NO_LIMITS.iter().chain(&timing)).start().await;
    let report = Bench::new().good(&server, &["idle", "--connections", "4", "--seconds", "7"]).await;
    assert_eq!((&report["check"]["sessions_dropped"], &period(&report, "idle")["connections"]), (&0.into(), &4.into()));
}

#[tokio::test]
async fn pairs_chat_in_an_open_loop_and_what_is_sealed_opens() {
    let server = Server::with(NO_LIMITS).start().await;
    let arguments =
        ["chat", "--pairs", "4", "--connections", "10", "--rate", "200", "--seconds", "1", "--warm-up", "1"];
    let bench = Bench::new();
    let report = bench.good(&server, &arguments).await;
    let check = &report["check"];
    assert!(number(&check["sent"]) > 0, "{check}");
    assert_eq!((&check["delivered"], &check["lost"], &check["unanswered"]), (&check["sent"], &0.into(), &0.into()));
    assert!(number(&check["sealed"]) > 0, "{check}");
    assert_eq!(check["sealed_and_opened"], check["sealed"], "{check}");
    let chat = period(&report, "chat");
    assert_eq!(chat["connections"], 10);
    assert!(number(&chat["delivery"]["count"]) > 0, "{chat}");
    assert!(chat["server"]["cpu_micros_per_message"].is_f64(), "{chat}");
    let page = std::fs::read_to_string(bench.file("html")).expect("the page was written");
    assert!(page.starts_with("<!doctype html>") && page.contains("<polyline"), "{page}");
    assert!(!page.contains("http"), "it needs nothing from elsewhere: {page}");
}

#[tokio::test]
async fn a_closed_loop_keeps_its_windows_full_and_accounts_return() {
    let server = Server::with(NO_LIMITS).start().await;
    let bench = Bench::new();
    let arguments = ["chat", "--pairs", "2", "--window", "4", "--seconds", "1", "--warm-up", "0", "--name", "again"];
    let first = bench.good(&server, &arguments).await;
    assert!(number(&first["check"]["sent"]) >= 16, "{first}");
    let again = bench.good(&server, &[&arguments[..], &["--returning"]].concat()).await;
    assert_eq!(again["check"]["came_again"], 0, "nothing of the first run was left");
}

#[tokio::test]
async fn mail_for_people_who_are_away_is_stored_and_drained() {
    let server = Server::with(NO_LIMITS).start().await;
    let report = Bench::new().good(&server, &["offline", "--pairs", "3", "--each", "40", "--window", "8"]).await;
    let check = &report["check"];
    assert_eq!((number(&check["sent"]), number(&check["delivered"])), (120, 120), "{check}");
    assert_eq!(period(&report, "store")["queued"], 120);
    assert_eq!(period(&report, "drain")["delivered"], 120);
}

#[tokio::test]
async fn those_whose_connections_break_come_back_while_others_talk() {
    let server = Server::with(NO_LIMITS).start().await;
    let arguments =
        ["reconnect", "--pairs", "2", "--connections", "8", "--rate", "50", "--seconds", "1", "--warm-up", "0"];
    let report = Bench::new().good(&server, &arguments).await;
    assert_eq!(period(&report, "reconnect")["log_ins"], 8);
    assert_eq!(period(&report, "after")["connections"], 12);
}

#[tokio::test]
async fn every_device_gets_its_copy_in_a_fanout() {
    let server = Server::with(NO_LIMITS).start().await;
    let arguments = ["fanout", "--pairs", "2", "--devices", "4", "--rate", "50", "--seconds", "1", "--warm-up", "0"];
    let report = Bench::new().good(&server, &arguments).await;
    let check = &report["check"];
    assert!(number(&check["sent"]) > 0, "{check}");
    assert_eq!(number(&check["copies"]), 4 * number(&check["sent"]), "{check}");
    assert_eq!(number(&check["sealed_and_opened"]), 4 * number(&check["sealed"]), "{check}");
}

#[tokio::test]
async fn a_day_goes_by_with_people_who_leave_and_connections_that_break() {
    let server = Server::with(NO_LIMITS).start().await;
    let arguments = ["mixed", "--pairs", "24", "--connections", "24", "--rate", "400", "--seconds", "3"];
    let report = Bench::new().good(&server, &arguments).await;
    let day = period(&report, "day");
    assert_eq!(
        (&day["connections"], &day["log_ins"]),
        (&72.into(), &48.into()),
        "all but the writers leave or break, and are back: {day}"
    );
    assert!(number(&day["delivered"]) > 0, "{day}");
}

#[tokio::test]
async fn a_soak_shows_what_memory_does_from_day_to_day() {
    let server = Server::with(NO_LIMITS).start().await;
    let arguments = ["soak", "--pairs", "3", "--connections", "2", "--rate", "50", "--seconds", "1", "--days", "2"];
    let report = Bench::new().good(&server, &arguments).await;
    assert!(report["figures"]["server memory, growth per day (bytes)"].is_f64(), "{report}");
}

#[tokio::test]
async fn the_bare_relay_carries_a_chat_that_is_not_sealed() {
    let mut relay = Command::new(binary("sealwire-loadtest"));
    relay.args(["limit", "--listen", "127.0.0.1:0", "--threads", "2"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut relay = relay.spawn().expect("the relay runs");
    let mut line = String::new();
    let stdout = relay.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).await.expect("its output can be read");
    let url = line.trim_end().strip_prefix("listening on ").expect("the first line is for programs");
    let pid = relay.id().expect("it runs");

    let bench = Bench::new();
    let arguments = ["chat", "--pairs", "6", "--window", "8", "--seconds", "1", "--warm-up", "0", "--unsealed"];
    let output = bench.run_at(url, pid, &arguments).await;
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    let check = &bench.report()["check"];
    assert!(number(&check["sent"]) >= 96, "{check}");
    assert_eq!(check["delivered"], check["sent"], "{check}");
    relay.kill().await.expect("a child can be killed");
}

/// Compares, with numbers so small that only the way is tested; gives the report.
async fn compare(bench: &Bench, names: &str, more: &[&str]) -> Value {
    let numbers = ["--rounds", "1", "--pairs", "3", "--connections", "8", "--rate", "60", "--full-pairs", "2"];
    let mut command = Command::new(binary("sealwire-loadtest"));
    command.args(["compare", "--only", names, "--quick", "--seconds", "1", "--idle", "4,8", "--idle-seconds", "1"]);
    command.args(numbers).args(more);
    command.arg("--server").arg(binary("sealwire"));
    command.arg("--keys").arg(bench.file("keys")).arg("--json").arg(bench.file("json"));
    let output = command.kill_on_drop(true).output().await.expect("the load generator runs");
    let (out, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{progress}", output.status);
    bench.report()
}

/// Everything was measured, and everything that was sent has come.
fn assert_measured(server: &Value) {
    assert_eq!(server["good"], true, "{server}");
    for name in ["cpu", "mean", "p50", "p99", "saturation", "memory"] {
        assert!(server["medians"][name].is_f64(), "{name}: {server}");
    }
    for run in server["rounds"][0].as_array().expect("the runs of a round").iter().take(2) {
        assert_all_came(&run["check"]);
    }
}

#[tokio::test]
async fn limit_and_sealwire_are_compared_on_a_page_with_plots() {
    let bench = Bench::new();
    let page = bench.file("benchmarks.md");
    let report = compare(&bench, "limit,sealwire", &["--markdown", page.to_str().expect("it is text")]).await;
    let servers = report["servers"].as_array().expect("a list");
    servers.iter().for_each(assert_measured);
    assert!(report["machine"]["cores"].is_u64() && report["date"].is_string(), "{report}");
    let text = std::fs::read_to_string(page).expect("the page was written");
    assert!(
        text.contains("| limit | ") && text.contains("| Sealwire | ") && text.contains("## Where Sealwire falls short"),
        "{text}"
    );
    assert!(text.contains("\ntarget/release/sealwire-loadtest compare --only limit,sealwire --quick "), "{text}");
    for line in text.lines().filter_map(|line| line.strip_prefix("![")) {
        let file = line.split_once("](").expect("a plot is a link").1.trim_end_matches(')');
        let plot = std::fs::read_to_string(bench.file(file)).expect("the plot was written");
        assert!(plot.starts_with("<svg xmlns") && plot.ends_with("</svg>\n"), "{plot}");
    }
}

#[tokio::test]
async fn a_program_that_is_missing_is_named_with_what_to_do() {
    let mut command = Command::new(binary("sealwire-loadtest"));
    command.args(["compare", "--only", "limit,sealwire", "--server", "/nonexistent/sealwire"]);
    let output = command.kill_on_drop(true).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nonexistent/sealwire: ") && said.contains("--server PATH"), "{said}");
}

#[tokio::test]
async fn what_other_servers_have_no_answer_for_is_not_played_with_them() {
    let mut command = Command::new(binary("sealwire-loadtest"));
    command.args(["offline", "--dialect", "xmpp"]);
    let output = command.kill_on_drop(true).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("only `idle` and `chat`"), "{said}");
}

#[tokio::test]
async fn mosquitto_is_spoken_to_in_mqtt() {
    assert_measured(&compare(&Bench::new(), "mosquitto", &[]).await["servers"][0]);
}

#[tokio::test]
async fn nats_server_is_spoken_to_in_its_own_protocol() {
    assert_measured(&compare(&Bench::new(), "nats", &[]).await["servers"][0]);
}

#[tokio::test]
async fn ejabberd_is_spoken_to_in_xmpp() {
    assert_measured(&compare(&Bench::new(), "ejabberd", &[]).await["servers"][0]);
}

#[tokio::test]
async fn what_must_hold_is_measured_with_what_is_wanted() {
    let bench = Bench::new();
    let mut command = Command::new(binary("sealwire-loadtest"));
    command.args(["goals", "--only", "everybody,memory", "--rounds", "1", "--scale", "0.001"]);
    command.args(["--seconds", "1", "--idle-seconds", "1"]);
    command.arg("--server").arg(binary("sealwire")).arg("--json").arg(bench.file("json"));
    let output = command.arg("--keys").arg(bench.file("keys")).kill_on_drop(true).output().await.expect("it runs");
    let (out, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // So few messages say nothing about the goals, but what is said must fit together.
    let report = bench.report();
    let goals = report["goals"].as_array().expect("a list");
    assert_eq!(goals.len(), 5, "{out}\n{progress}");
    assert!(goals.iter().all(|goal| goal["good"] == true && goal["median"].is_f64()), "{report}");
    let held = goals.iter().all(|goal| goal["held"] == true);
    assert_eq!(output.status.code(), Some(i32::from(!held)), "{out}\n{progress}");
    assert!(out.contains("5 pairs at 20 messages/s: p99 latency") && out.contains("at most 20 ms"), "{out}");
}

/// Starts MongoDB three times over.
mod heavy {
    use super::*;

    #[ignore = "it starts a replica set three times, which takes a minute; `make test-long` runs it"]
    #[tokio::test]
    async fn sealwire_with_mongodb_and_redis_is_compared_with_what_these_need() {
        let report = compare(&Bench::new(), "cluster", &[]).await;
        assert_measured(&report["servers"][0]);
        assert!(report["servers"][0]["medians"]["cpu_with_companions"].is_f64(), "{report}");
    }
}

#[tokio::test]
async fn a_server_that_loses_what_it_has_acknowledged_makes_it_fail() {
    let bench = Bench::new();
    let mut ports = free_addresses().map(|address| address.port());
    let (other, port) = (ports.next().expect("a port"), ports.next().expect("a port"));
    // It keeps one message for a reader, who acknowledges one at a time, and drops the rest.
    let config = format!(
        "allow_anonymous true\nmax_inflight_messages 1\nmax_queued_messages 1\nlistener {other} 127.0.0.1\nlistener {port} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n"
    );
    std::fs::write(bench.file("mosquitto.conf"), config).expect("it can be written");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut mosquitto = Command::new("mosquitto");
    mosquitto.env("PATH", format!("{path}:/usr/sbin")).arg("-c").arg(bench.file("mosquitto.conf"));
    let mosquitto = mosquitto.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("it runs");
    let url = format!("ws://127.0.0.1:{port}/ws");
    let arguments =
        ["chat", "--dialect", "mqtt", "--pairs", "2", "--window", "32", "--seconds", "1", "--patience", "2"];
    let output = bench.run_at(&url, mosquitto.id().expect("it runs"), &arguments).await;
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("  lost: message ") && out.ends_with("FAILED\n"), "{out}");
    let check = &bench.report()["check"];
    assert!(number(&check["lost"]) > 0, "{check}");
}

#[tokio::test]
async fn a_server_that_refuses_messages_makes_it_fail() {
    let limits = NO_LIMITS.iter().filter(|(name, _)| !name.contains("MESSAGES_PER_MINUTE"));
    let server = Server::with(limits).set("SEALWIRE_LIMITS_MESSAGES_PER_MINUTE", "3").start().await;
    let bench = Bench::new();
    let output =
        bench.run(&server, &["chat", "--pairs", "1", "--rate", "20", "--seconds", "1", "--patience", "2"]).await;
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("refused: rate_limited") && out.ends_with("FAILED\n"), "{out}");
    let report = bench.report();
    assert!(number(&report["check"]["refused"]) > 0, "{report}");
    assert_eq!(report["check"]["good"], false);
}

/// Runs until it says on standard error what it waits for, then interrupts it; gives its exit code and standard output.
async fn interrupted(mut command: Command, at: &str) -> (Option<i32>, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it runs");
    let mut progress = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    while !progress.next_line().await.expect("it can be read").expect("it gets there").contains(at) {}
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    kill_process(pid.expect("it runs"), Signal::INT).expect("a child can be signalled");
    let output = child.wait_with_output().await.expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn what_is_stopped_before_its_end_is_checked_and_reported() {
    let server = Server::with(NO_LIMITS).start().await;
    let bench = Bench::new();
    let mut command = Command::new(binary("sealwire-loadtest"));
    command.args(["chat", "--pairs", "2", "--rate", "50", "--seconds", "3600", "--warm-up", "0"]);
    command.args(["--url", &server.url(), "--server-pid", &server.pid().to_string()]);
    command.arg("--keys").arg(bench.file("keys")).arg("--json").arg(bench.file("json"));
    let (code, out) = interrupted(command, "] chat: ").await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("stopped before the end"), "{out}");
    assert_all_came(&bench.report()["check"]);
}

#[tokio::test]
async fn a_comparison_that_is_stopped_leaves_nothing_behind() {
    let bench = Bench::new();
    let place = bench.file("temporary");
    std::fs::create_dir(&place).expect("a directory can be made");
    let mut command = Command::new(binary("sealwire-loadtest"));
    command.args(["compare", "--quick", "--only", "sealwire", "--seconds", "3600"]).env("TMPDIR", &place);
    command.arg("--server").arg(binary("sealwire")).arg("--keys").arg(bench.file("keys"));
    let (code, out) = interrupted(command, "round 1 of 1").await;
    assert_eq!((code, out.as_str()), (Some(130), ""));
    assert_eq!(std::fs::read_dir(&place).expect("it is there").count(), 0, "directories of servers are left");
}
