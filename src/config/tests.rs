use std::{ffi::OsString, path::Path};

use super::*;

/// A working directory with files and an environment.
struct Case {
    directory: tempfile::TempDir,
    surroundings: Surroundings,
    overrides: Overrides,
}

impl Case {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let surroundings = Surroundings { directory: directory.path().to_owned(), ..Surroundings::default() };
        Self { directory, surroundings, overrides: Overrides::default() }
    }

    fn file(text: &str) -> Self {
        Self::new().with("sealwire.toml", text)
    }

    fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).expect("written");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.surroundings.variables.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(&self.overrides, &self.surroundings)
    }

    fn config(&self) -> Config {
        self.load().expect("a good configuration").config
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.load().expect_err("a bad configuration").0;
        let directory = format!("{}/", self.directory.path().display());
        problems.iter().map(|problem| problem.to_string().replace(&directory, "")).collect()
    }
}

#[test]
fn without_any_source_the_defaults_are_in_force() {
    assert_eq!(Case::new().config(), Config::default());
}

#[test]
fn a_flag_wins_over_a_variable_over_dot_env_over_the_file() {
    let mut case = Case::file("[server]\nlisten = \"127.0.0.1:1\"\nworkers = 1\n[log]\nformat = \"json\"")
        .with(".env", "SEALWIRE_LISTEN=127.0.0.1:2\nSEALWIRE_SERVER_WORKERS=2\nOTHER = of someone else\nPATH\n");
    assert_eq!(case.config().server.listen.port(), 2);
    assert_eq!(case.config().server.workers, 2);
    case = case.variable("SEALWIRE_LISTEN", "127.0.0.1:3");
    assert_eq!(case.config().server.listen.port(), 3);
    case.overrides.listen = Some("127.0.0.1:4".into());
    let loaded = case.load().expect("good");
    assert_eq!(loaded.config.server.listen.port(), 4);
    assert_eq!(loaded.config.log.format, log::Format::Json);
    let places: Vec<String> = ["server.listen", "server.workers", "log.format", "log.level"]
        .map(|path| keys().find(|key| key.path() == path).expect("a key"))
        .map(|key| loaded.place(key).to_string().replace(&format!("{}/", case.directory.path().display()), ""))
        .into();
    assert_eq!(places, ["--listen", ".env:2", "sealwire.toml:5", "default"]);
}

#[test]
fn the_file_is_the_one_that_the_flag_names_else_the_variable() {
    let mut case = Case::file("[server]\nworkers = 1")
        .with("two.toml", "[server]\nworkers = 2")
        .with("three.toml", "[server]\nworkers = 3")
        .variable("SEALWIRE_CONFIG", "two.toml");
    assert_eq!(case.config().server.workers, 2);
    case.overrides.file = Some("three.toml".into());
    assert_eq!(case.config().server.workers, 3);
}

#[test]
fn a_named_file_that_is_missing_is_refused_and_says_who_named_it() {
    let problems = Case::new().variable("SEALWIRE_CONFIG", "none.toml").problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("none.toml: cannot be read: "), "{problems:?}");
    assert!(problems[0].ends_with(" (named by SEALWIRE_CONFIG)"), "{problems:?}");
}

#[test]
fn every_fault_is_reported_at_once_with_its_line_and_what_is_expected() {
    let case = Case::file(
        "listen = \"127.0.0.1:1\"\n\n[server]\nlisten = 8080\nbehind_proxi = true\n\n[limit]\nframes = 1\n\n\
         [limits]\nmessages_per_minute = -1\nworkers = 2\n\n[timing]\nlog_in = \"10\"\n",
    )
    .variable("SEALWIRE_LIMITS_MESSAGES_PER_MINUT", "5")
    .variable("SEALWIRE_LOG_LEVEL", "loud");
    assert_eq!(
        case.problems(),
        [
            "sealwire.toml:1: listen: a key outside of any section; it belongs below [server]",
            "sealwire.toml:4: server.listen: expected an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
            "sealwire.toml:5: server.behind_proxi: unknown key; did you mean `behind_proxy`?",
            "sealwire.toml:7: limit: unknown; the sections are [server], [store], [bus], [limits], [timing], [metrics], [log]; did you mean \
         `limits`?",
            "sealwire.toml:11: limits.messages_per_minute: expected a whole number from 0 to 4294967295",
            "sealwire.toml:12: limits.workers: unknown key; it belongs below [server]",
            "sealwire.toml:15: timing.log_in: expected a duration: a whole number with ms, s, m, h or d behind it, such as \
         \"250ms\" or \"10s\"",
            "SEALWIRE_LIMITS_MESSAGES_PER_MINUT: unknown variable; did you mean `SEALWIRE_LIMITS_MESSAGES_PER_MINUTE`?",
            "SEALWIRE_LOG_LEVEL: expected error, warn, info, debug or trace, also by module: \"info,sealwire_actors=debug\"",
        ]
    );
}

#[test]
fn a_key_that_is_set_twice_is_refused_with_its_line() {
    let problems = Case::file("[server]\nworkers = 1\nworkers = 2\n").problems();
    assert_eq!(problems, ["sealwire.toml:3: workers: duplicate key"]);
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let problems = Case::file("[server]\nworkers = 1\nlisten 8080\n").problems();
    assert!(problems[0].starts_with("sealwire.toml:3: "), "{problems:?}");
}

#[test]
fn a_variable_that_is_set_in_two_spellings_or_twice_is_refused() {
    let case = Case::new().variable("SEALWIRE_LISTEN", "127.0.0.1:1").variable("SEALWIRE_SERVER_LISTEN", "127.0.0.1:2");
    assert_eq!(case.problems(), ["SEALWIRE_LISTEN: it means the same as SEALWIRE_SERVER_LISTEN; set one of them"]);
    let case = Case::new().with(".env", "SEALWIRE_LISTEN=127.0.0.1:1\nSEALWIRE_LISTEN=127.0.0.1:1\n");
    assert_eq!(case.problems(), [".env:2: SEALWIRE_LISTEN: set twice in this file; keep one"]);
}

#[test]
fn a_fault_in_dot_env_is_reported_with_its_line() {
    let case = Case::new().with(".env", "# mine\nSEALWIRE_LISTEN\nexport SEALWIRE_SERVER_WORKERS=\"many\"\n");
    assert_eq!(
        case.problems(),
        [
            r#".env:2: expected NAME=value, NAME="value" or NAME='value' on one line"#,
            ".env:3: SEALWIRE_SERVER_WORKERS: expected a whole number",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let mut case = Case::new();
    case.surroundings.variables.push(("SEALWIRE_LISTEN".into(), OsString::from_vec(vec![0xff])));
    assert_eq!(case.problems(), ["SEALWIRE_LISTEN: expected UTF-8 text"]);
}

#[test]
fn plain_ws_is_only_for_loopback_or_behind_a_proxy_that_ends_tls() {
    let open = Case::file("[server]\nlisten = \"0.0.0.0:8080\"\n");
    let problems = open.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("sealwire.toml:2: server.listen: expected a loopback address"), "{problems:?}");
    assert!(problems[0].contains("server.behind_proxy = true"), "{problems:?}");

    assert_eq!(Case::file("[server]\nlisten = \"[::1]:8080\"\n").config().server.listen.port(), 8080);
    let behind = open.variable("SEALWIRE_SERVER_BEHIND_PROXY", "true");
    assert!(behind.config().server.behind_proxy);
    assert_eq!(behind.config().server.warnings().len(), 2);
    let named = behind
        .variable("SEALWIRE_SERVER_ORIGINS", "wss://chat.example.org")
        .variable("SEALWIRE_SERVER_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8");
    assert_eq!(named.config().server.warnings(), Vec::<&str>::new());
    assert_eq!(named.config().server.trusted_proxies.len(), 2);
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let case = Case::file(
        "[server]\norigins = [\"ws://chat.example.org\"]\n[metrics]\nlisten = \"127.0.0.1:8080\"\n[limits]\nframe_bytes = 10\nmax_connections = 0\n\
         [timing]\nlog_in = \"1m\"\nrenewal = \"1h\"\nsilence = \"0s\"\n",
    );
    let problems = case.problems();
    let places: Vec<&str> = problems.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(
        places,
        [
            "server.origins",
            "metrics.listen",
            "limits.frame_bytes",
            "limits.max_connections",
            "timing.log_in",
            "timing.renewal",
            "timing.silence"
        ]
    );
}

#[test]
fn a_cluster_needs_a_store_that_the_nodes_share() {
    let store = "[store]\nurl = \"mongodb://app:hunter2@host\"\n";
    let bus = "[bus]\nurl = \"redis://app:hunter2@host\"\n";
    assert!(Case::file(store).load().is_ok(), "a node alone may have it too");
    let both = format!("{store}{bus}");
    let config = Case::file(&both).config();
    assert_eq!(config.bus.url.reveal(), Some("redis://app:hunter2@host"));
    let problems = Case::file(bus).problems();
    assert!(problems[0].starts_with("sealwire.toml:2: bus.url: expected together with store.url"), "{problems:?}");
    let swapped = both.replace("mongodb", "tmp").replace("redis", "mongodb").replace("tmp", "redis");
    let problems = Case::file(&swapped).problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.contains("hunter2")));
    let problems = Case::file(&format!("{both}ca_file = \"ca.pem\"\n")).problems();
    assert_eq!(problems, ["sealwire.toml:5: bus.ca_file: expected only with a bus.url that begins with rediss://"]);
}

#[test]
fn a_url_with_a_password_may_stand_in_a_file_of_its_own_and_is_never_printed() {
    let case = Case::file("[store]\nurl_file = \"s\"\n")
        .with("s", "mongodb://app:hunter2@host\n")
        .with("b", "redis://app:hunter2@host\n")
        .variable("SEALWIRE_BUS_URL_FILE", "b");
    let loaded = case.load().expect("good");
    assert_eq!(loaded.config.store.url.reveal(), Some("mongodb://app:hunter2@host"));
    assert_eq!(loaded.config.bus.url.reveal(), Some("redis://app:hunter2@host"));
    let printed = reference::in_force(&loaded) + &format!("{loaded:?}");
    assert!(printed.contains("url = \"(hidden)\"") && !printed.contains("hunter2"), "{printed}");
    let problems = case.variable("SEALWIRE_STORE_URL", "mongodb://app:hunter2@other").problems();
    assert!(problems.len() == 1 && problems[0].starts_with("sealwire.toml:2: store.url_file: "), "{problems:?}");
    let problems = Case::file("[store]\nurl_file = \"missing\"\n").problems();
    assert!(problems[0].contains("cannot be read"), "{problems:?}");
}

#[test]
fn every_field_of_the_broker_has_a_key() {
    // These patterns name every field: a new one does not compile before it stands here and in the table of keys.
    let sealwire_actors::Limits {
        messages_per_minute: _,
        frames_per_second: _,
        frame_bytes: _,
        greeting_frames: _,
        greeting_bytes: _,
        greeting_connections: _,
        connections_per_account: _,
        mailbox_messages: _,
        mailbox_bytes: _,
        mailbox_messages_per_sender: _,
        window_messages: _,
        window_bytes: _,
        key_lookups_per_minute: _,
        names_per_day: _,
        verifications_waiting: _,
        signals_per_minute: _,
        presence_subscriptions: _,
        rendezvous_frames: _,
        rendezvous_entries: _,
        backups_per_hour: _,
        backup_puts_per_hour: _,
        devices_per_hour: _,
        links_per_day: _,
        rotations_per_hour: _,
        presence_changes_per_hour: _,
    } = sealwire_actors::Limits::default();
    let sealwire_actors::Timing {
        log_in: _,
        greeting: _,
        session: _,
        renewal: _,
        silence: _,
        hand_over: _,
        blocked: _,
        take_over: _,
        verification: _,
        store: _,
        store_gone: _,
        reconnect: _,
        rendezvous: _,
        mail_life: _,
        sweep: _,
    } = sealwire_actors::Timing::default();
    assert_eq!(limits::BROKER_KEYS.len(), 25);
    assert_eq!(timing::KEYS.len(), 15);
}

#[test]
fn variables_of_the_client_are_passed_over() {
    let case = Case::new()
        .variable("SEALWIRE_LOG", "debug")
        .variable("SEALWIRE_PASSPHRASE_FILE", "pass")
        .variable("SEALWIRE_PROFILE", "alice")
        .variable("SEALWIRE_SERVER", "ws://127.0.0.1:8080");
    assert_eq!(case.load().expect("nothing is wrong").config, Config::default());
}

#[test]
fn every_key_can_be_set_by_its_variable_to_what_is_shown() {
    let defaults = Config::default();
    let case = keys().fold(Case::new(), |case, key| {
        let shown = key.show(&defaults);
        case.variable(&key.variable(), shown.trim_matches(['"', '[', ']', '\'']))
    });
    let loaded = case.load().expect("the defaults are good");
    assert_eq!(loaded.config, defaults);
    assert!(keys().all(|key| *loaded.place(key) == Place::Variable(key.variable())));
}

#[test]
fn what_is_in_force_is_printed_as_a_file_that_reads_the_same() {
    let case = Case::file("[server]\norigins = [\"wss://Chat.Example.org:443\"]\n[timing]\nhand_over = \"250ms\"\n");
    let loaded = case.load().expect("good");
    let printed = reference::in_force(&loaded);
    assert!(printed.contains("origins = [\"wss://chat.example.org\"]  # sealwire.toml:2\n"), "{printed}");
    assert_eq!(Case::file(&printed).config(), loaded.config);
}

#[test]
fn the_generated_example_names_every_key_with_its_default() {
    let example = reference::example();
    let case = Case::file(&example);
    let loaded = case.load().expect("the example is good");
    assert_eq!(loaded.config, Config::default());
    assert!(keys().all(|key| *loaded.place(key) != Place::Default), "a key is missing");
    assert_generated("deploy/sealwire.example.toml", &example);
}

#[test]
fn the_generated_reference_page_is_current() {
    assert_generated("docs/configuration.md", &reference::page());
}

/// Compares a generated file with what the code says, or writes it when `UPDATE_GENERATED` is set.
pub(crate) fn assert_generated(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(&file, expected).expect("written");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is stale: run `UPDATE_GENERATED=1 cargo test -p sealwire generated`");
}
