//! Servers as children of this program, each on ports of its own and in a directory that goes with it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::crew::Failure;
use crate::dialect::Dialect;
use crate::stop;

/// How long a server may take to come up.
const START: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn new() -> Result<Self, Failure> {
        let place = std::env::temp_dir().join(format!("sealwire-compare-{:016x}", rand::random::<u64>()));
        // Some servers give up root's rights and still read what lies in it; nothing in it is secret.
        fs::DirBuilder::new().mode(0o755).create(&place)?;
        Ok(Self(place))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A directory in it, which whoever a server becomes may write to.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let place = self.0.join(name);
        fs::create_dir(&place)?;
        Ok(place)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let file = self.0.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Below those ports that the system gives to outgoing connections, so that none of these takes one before its server does.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port that nobody had a moment ago.
pub(super) fn free_port() -> Result<u16, Failure> {
    const TRIES: usize = 100;
    let ports = (0..TRIES).map(|_| rand::random_range(PORTS));
    let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().ok_or_else(|| Failure::Server(format!("no port of {PORTS:?} is free on 127.0.0.1")))
}

/// A process that ends when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // What it has written is thrown away, so there is nothing to end in order.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that runs. Its processes end with it, the last one first.
#[derive(Debug)]
pub(super) struct Server {
    processes: Vec<Process>,
    home: Home,
    pub(super) address: SocketAddrV4,
    pub(super) dialect: Dialect,
    /// What is measured as the server.
    pub(super) pids: Vec<u32>,
    /// What it needs besides.
    pub(super) companions: Vec<u32>,
    pub(super) version: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
    }
}

impl Server {
    /// Nothing runs yet.
    pub(super) fn new(home: Home, dialect: Dialect, version: String) -> Result<Self, Failure> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()?);
        let (pids, companions) = (Vec::new(), Vec::new());
        Ok(Self { processes: Vec::new(), home, address, dialect, pids, companions, version })
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// Starts what is measured, and waits until it is ready.
    pub(super) fn start(&mut self, command: Command, ready: impl Fn() -> bool) -> Result<(), Failure> {
        let pid = self.spawn("server", command, ready)?;
        self.pids.push(pid);
        Ok(())
    }

    /// Starts what it needs.
    pub(super) fn companion(&mut self, name: &str, command: Command, ready: impl Fn() -> bool) -> Result<(), Failure> {
        let pid = self.spawn(name, command, ready)?;
        self.companions.push(pid);
        Ok(())
    }

    fn spawn(&mut self, name: &str, command: Command, ready: impl Fn() -> bool) -> Result<u32, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = bound(command);
        let log = self.home.path().join(format!("{name}.log"));
        let output = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).current_dir(self.home.path());
        // Ctrl-C in a terminal is for this program, which then ends its servers.
        command.process_group(0);
        // Settings of this program's own environment reach no server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEALWIRE_")) {
            if !command.get_envs().any(|(set, _)| set == name) {
                command.env_remove(name);
            }
        }
        let child = command.spawn().map_err(|error| Failure::Server(format!("{program}: {error}")))?;
        self.processes.push(Process(child));
        let Some(Process(child)) = self.processes.last_mut() else { unreachable!("it was just added") };
        let began = Instant::now();
        while !ready() {
            if stop::is_wanted() {
                return Err(Failure::Stopped);
            }
            let ended = child.try_wait()?;
            if ended.is_some() || began.elapsed() > START {
                let why = ended.map_or("was not ready in time".to_owned(), |status| format!("ended with {status}"));
                return Err(Failure::Server(format!("{program} {why}; it said:\n{}", last_lines(&log))));
            }
            thread::sleep(LOOK);
        }
        Ok(child.id())
    }
}

/// The same command, ended by the system when this program is killed and can end nothing itself. Where `setpriv` (util-linux) is missing, it
/// stays as it is.
fn bound(command: Command) -> Command {
    let Some(setpriv) = find("setpriv") else { return command };
    let mut bound = Command::new(setpriv);
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    bound
}

fn last_lines(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Whether somebody listens there.
pub(super) fn listens(address: SocketAddrV4) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The first line that a program says about its version, or what is known instead.
pub(super) fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let said = output.map(|output| if output.stdout.is_empty() { output.stderr } else { output.stdout });
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    said.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// Where a program is, looking also where Debian keeps those of servers.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// Installs a package of Debian's; the servers in it are not started.
pub(super) fn install(package: &str) -> Result<(), Failure> {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "env" } else { "sudo" });
    if !root {
        command.args(["-n", "env"]);
    }
    // The run level says that the system is not up, so that what is installed is not started.
    command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]);
    command.args(["install", "--yes", "--no-install-recommends", package]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().map_err(|error| Failure::Server(format!("{}: {error}", install_command(package))))?;
    if status.success() { Ok(()) } else { Err(Failure::Server(format!("{}: {status}", install_command(package)))) }
}

/// What somebody would type.
pub(super) fn install_command(package: &str) -> String {
    format!("apt-get install --yes --no-install-recommends {package}")
}

/// Everything that was started here is on this machine.
pub(super) fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// Fails with what a command needs.
pub(super) fn io_failure(what: &str, error: &io::Error) -> Failure {
    Failure::Server(format!("{what}: {error}"))
}
