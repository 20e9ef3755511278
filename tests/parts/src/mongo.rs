//! A MongoDB replica set on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::member::Member;
use crate::{TcpProxy, owner, patiently, ports};

/// What makes a member small and quick to start. The journal's files are otherwise laid out at 100 MB each; a signalled
/// shutdown would give clients 15 s to go elsewhere, which nobody here needs.
const OPTIONS: &[&str] = &[
    "--bind_ip=127.0.0.1",
    "--nounixsocket",
    "--replSet=sealwire",
    "--oplogSize=64",
    "--wiredTigerCacheSizeGB=0.25",
    "--wiredTigerEngineConfigString=log=(file_max=8MB,prealloc=false)",
    "--setParameter=diagnosticDataCollectionEnabled=false",
    "--setParameter=shutdownTimeoutMillisForSignaledShutdown=100",
];

/// How a set is to be started.
#[derive(Debug)]
pub struct Builder {
    members: usize,
    options: Vec<String>,
    election: Duration,
    parent: Option<PathBuf>,
    proxied: bool,
    first_port: Option<u16>,
}

impl Builder {
    /// An option of `mongod` for every member, such as `--setParameter=ttlMonitorSleepSecs=1`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// After which silence of the primary the others elect another one; 2 s unless told, 10 s by MongoDB's default.
    #[must_use]
    pub fn election_timeout(self, election: Duration) -> Self {
        Self { election, ..self }
    }

    /// Keeps the data in this directory, and leaves it there. Members listen on this port and those behind it: what is found in
    /// the directory goes on as the set that it was, and a set knows its members by their ports.
    #[must_use]
    pub fn kept_in(self, parent: &Path, first_port: u16) -> Self {
        Self { parent: Some(parent.to_owned()), first_port: Some(first_port), ..self }
    }

    /// Puts a proxy before each member ([`MongoReplicaSet::proxy`]). Clients go through it, and meet its weather; the members among
    /// each other go through it too, and do not. The proxies live in the runtime that the set was started in.
    #[must_use]
    pub fn behind_proxies(self) -> Self {
        Self { proxied: true, ..self }
    }

    /// Starts the members, makes them a set, and returns once one is the primary and all others follow it.
    ///
    /// # Panics
    /// When a member does not start; with what it said.
    pub async fn start(self) -> MongoReplicaSet {
        let home = self.parent.is_none().then(directory);
        let parent = self.parent.as_deref().or(home.as_ref().map(TempDir::path)).expect("one of the two");
        let mut options: Vec<String> = OPTIONS.iter().map(|&option| option.to_owned()).collect();
        options.extend(self.options);
        let starts = (0..self.members).map(|n| {
            let fixed = self.first_port.map(|first| (Ipv4Addr::LOCALHOST, first + n as u16).into());
            launch(parent.join(n.to_string()), options.clone(), n, fixed)
        });
        let mut members = join_all(starts).await;
        let mut proxies = Vec::new();
        if self.proxied {
            for member in &mut members {
                let proxy = TcpProxy::sparing(member.address, |peer| owner::is_of("mongod", peer)).await;
                member.known_as = proxy.address();
                proxies.push(proxy);
            }
        }
        let set = MongoReplicaSet { members, proxies, _home: home };
        set.initiate(self.election).await;
        set
    }
}

/// On disk and not in memory: what a commit costs with `j: true` is part of what is tested, and a set of three fills
/// some hundred megabytes.
fn directory() -> TempDir {
    TempDir::with_prefix("sealwire-mongo-").expect("a directory for a replica set can be made")
}

async fn launch(home: PathBuf, options: Vec<String>, number: usize, fixed: Option<SocketAddr>) -> Member {
    // Members that are started at the same time look at different ports.
    let chosen = ports::free_addresses().skip(number).filter(|_| fixed.is_none());
    for address in fixed.into_iter().chain(chosen) {
        let mut member = Member::new(address, home.clone(), options.clone());
        match member.start().await {
            Ok(()) => return member,
            // Somebody else took the port between our look and the member's.
            Err(failure) if fixed.is_none() && failure.log.contains("Address already in use") => {}
            Err(failure) => panic!("{failure}"),
        }
    }
    panic!("no port of {:?} is free", ports::PORTS);
}

/// A running replica set, its members counted from 0. Dropped, all are killed.
///
/// Members talk to each other and to clients on 127.0.0.1, without authentication.
#[derive(Debug)]
pub struct MongoReplicaSet {
    members: Vec<Member>,
    /// One for each member, or none.
    proxies: Vec<TcpProxy>,
    /// Goes last.
    _home: Option<TempDir>,
}

impl MongoReplicaSet {
    /// A set of this many members, with the defaults of [`Builder`].
    pub async fn start(members: usize) -> Self {
        Self::of(members).start().await
    }

    /// A set of this many members that is to be started otherwise.
    pub fn of(members: usize) -> Builder {
        Builder {
            members,
            options: Vec::new(),
            election: Duration::from_secs(2),
            parent: None,
            proxied: false,
            first_port: None,
        }
    }

    async fn initiate(&self, election: Duration) {
        let hosts = self.members.iter().enumerate();
        let members: Vec<_> =
            hosts.map(|(n, member)| json!({ "_id": n, "host": member.known_as.to_string() })).collect();
        let election = u64::try_from(election.as_millis()).expect("a short time");
        let settings = json!({ "electionTimeoutMillis": election, "heartbeatIntervalMillis": election / 4 });
        let config = json!({ "_id": "sealwire", "version": 1, "members": members, "settings": settings });
        let first = &self.members[0];
        // What was kept from an earlier life knows its set.
        if first.says(|_| true).await["setName"].is_string() {
            self.settled().await;
            return;
        }
        first.command("replSetInitiate", &config, json!({})).await.expect("new members can be made a set");
        // It would wait for the election timeout, though there is nobody to wait for.
        first.says(|hello| hello["secondary"] == true || hello["isWritablePrimary"] == true).await;
        let _ = first.command("replSetStepUp", &json!(1), json!({})).await;
        self.settled().await;
    }

    /// Where clients connect, with the database `sealwire`.
    pub fn url(&self) -> String {
        self.url_of("sealwire")
    }

    /// Where clients connect, with a database of one's own: tests of one set do not see each other's data then.
    pub fn url_of(&self, database: &str) -> String {
        let hosts: Vec<String> = self.addresses().map(|address| address.to_string()).collect();
        format!("mongodb://{}/{database}?replicaSet=sealwire", hosts.join(","))
    }

    /// Where each member is dialled.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.members.iter().map(|member| member.known_as)
    }

    /// Waits until a member that is up can be written to; gives its number.
    ///
    /// # Panics
    /// When there is none for long; a minority never has one.
    pub async fn primary(&self) -> usize {
        let says = |(n, member): (usize, _)| {
            Box::pin(async move {
                Member::says(member, |hello| hello["isWritablePrimary"] == true).await;
                n
            })
        };
        let up: Vec<_> = self.members.iter().enumerate().filter(|(_, member)| member.is_up()).map(says).collect();
        assert!(!up.is_empty(), "no member is up");
        patiently("the election of a primary", select_all(up)).await.0
    }

    /// Waits until all members that are up agree: one is the primary, whose number this gives, and the others follow it.
    ///
    /// # Panics
    /// When they do not for long.
    pub async fn settled(&self) -> usize {
        let at_work = |hello: &Value| {
            hello["primary"].is_string() && (hello["secondary"] == true || hello["isWritablePrimary"] == true)
        };
        let agreement = async {
            loop {
                let up = self.members.iter().filter(|member| member.is_up()).map(|member| member.says(at_work));
                let hellos = join_all(up).await;
                // One that was away may still take itself, or another, for the primary of an earlier election.
                if hellos.iter().all(|hello| hello["primary"] == hellos[0]["primary"])
                    && hellos.iter().filter(|hello| hello["isWritablePrimary"] == true).count() == 1
                {
                    return hellos[0]["primary"].as_str().expect("it is a text").to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        let leader = patiently("the settling of the replica set", agreement).await;
        self.addresses().position(|address| address.to_string() == leader).expect("it is a member")
    }

    /// The proxy before a member.
    ///
    /// # Panics
    /// When the set was started without ([`Builder::behind_proxies`]).
    pub fn proxy(&self, member: usize) -> &TcpProxy {
        self.proxies.get(member).expect("the set was started behind proxies")
    }

    /// SIGKILL; returns once it is gone.
    pub fn kill(&mut self, member: usize) {
        self.members[member].kill();
    }

    /// SIGTERM; returns once it is gone. A primary hands over first.
    pub async fn stop(&mut self, member: usize) {
        self.members[member].terminate().await;
    }

    /// SIGSTOP: it answers nobody, and its connections stay open.
    pub fn freeze(&mut self, member: usize) {
        self.members[member].process().freeze();
    }

    /// SIGCONT, after [`freeze`](Self::freeze).
    pub fn thaw(&mut self, member: usize) {
        self.members[member].process().thaw();
    }

    /// Starts it again on its data and its port, killing it first if it runs; returns once it takes connections.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn restart(&mut self, member: usize) {
        self.members[member].start().await.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Runs an administrator's command on one member: `command(0, "serverStatus", json!(1), json!({}))`.
    ///
    /// # Errors
    /// When there is no answer, or a refusal, with MongoDB's text.
    pub async fn command(&self, member: usize, name: &str, value: Value, rest: Value) -> io::Result<Value> {
        self.members[member].command(name, &value, rest).await
    }

    /// What a member has logged, over all its lives.
    pub fn log(&self, member: usize) -> String {
        String::from_utf8_lossy(&std::fs::read(self.members[member].home().join("log")).unwrap_or_default())
            .into_owned()
    }

    /// The process of a member.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&mut self, member: usize) -> u32 {
        self.members[member].process().pid()
    }
}
