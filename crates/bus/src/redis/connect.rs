//! The way to a Redis that can be used.

use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind, TlsCertificates,
};

use super::RedisOptions;
use super::keys::Keys;
use super::scripts::Scripts;
use crate::{BusError, NodeId};

/// The oldest release with users of their own rights.
const OLDEST: u32 = 6;

/// A link: one connection that asks and publishes, one that hears.
pub(super) struct Connections {
    pub(super) commands: MultiplexedConnection,
    pub(super) sink: PubSubSink,
    pub(super) stream: PubSubStream,
}

/// Reads the URL. Nothing is connected yet.
pub(super) fn client(url: &str, options: &RedisOptions) -> Result<Client, BusError> {
    // Texts of our own: what cannot be read may hold a password anywhere.
    let open = |text: &str| Err(BusError::Open(format!("bus.url {text}")));
    let tls = url.starts_with("rediss://");
    if !tls && !url.starts_with("redis://") {
        return open("begins with neither redis:// nor rediss://; Sentinel, Cluster and sockets are not supported");
    }
    if url.contains('#') {
        return open("holds a #, which must be written %23 in a password; a certificate is always checked");
    }
    let Ok(info) = url.into_connection_info() else {
        return open("is not of the form redis://USER:PASSWORD@HOST:PORT/NUMBER");
    };
    if options.certificates.is_some() && !tls {
        return open("does not ask for TLS though certificates are given; write rediss://");
    }
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    let info = info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    if !tls {
        return Client::open(info).or_else(|_| open("cannot be used"));
    }
    // Whichever came first serves: all of this server's are the same. Without one the TLS library does not know which to take.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match &options.certificates {
        None => Client::open(info).or_else(|_| open("cannot be used")),
        Some(pem) => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
            let client = Client::build_with_tls(info, certificates);
            client.map_err(|_| BusError::Open("bus.ca_file holds no certificates in PEM".to_owned()))
        }
    }
}

/// Connects, sees that this Redis can be used, and subscribes. Gives up after twice the patience.
pub(super) async fn connect(
    client: &Client,
    keys: &Keys,
    scripts: &Scripts,
    node: NodeId,
    patience: Duration,
) -> Result<Connections, BusError> {
    let fail = |error| failure(client, &error);
    let try_it = async {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience * 2))
            .set_response_timeout(Some(patience));
        let mut commands = client.get_multiplexed_async_connection_with_config(&config).await.map_err(fail)?;
        let info: String = ::redis::cmd("INFO").query_async(&mut commands).await.map_err(fail)?;
        check(&info)?;
        let probe = keys.probe(node);
        // Each right is asked for here, also those that are needed only later or now and then.
        let () = ::redis::cmd("TIME").query_async(&mut commands).await.map_err(fail)?;
        scripts.probe.load_async(&mut commands).await.map_err(fail)?;
        let () = scripts.probe.key(keys.leases()).key(&probe).invoke_async(&mut commands).await.map_err(fail)?;
        let (mut sink, stream) = client.get_async_pubsub().await.map_err(fail)?.split();
        sink.subscribe(keys.channel(node)).await.map_err(fail)?;
        let () = ::redis::cmd("PING").query_async(&mut commands).await.map_err(fail)?;
        // Nobody hears the probe's channel; what counts is that it may be published to.
        let () = ::redis::cmd("PUBLISH").arg(&probe).arg("").query_async(&mut commands).await.map_err(fail)?;
        Ok(Connections { commands, sink, stream })
    };
    let in_time = tokio::time::timeout(patience * 2, try_it).await;
    in_time.unwrap_or_else(|_| Err(BusError::Unavailable(format!("no answer within {:?}", patience * 2))))
}

/// Whether this Redis can be used, by what it says of itself.
fn check(info: &str) -> Result<(), BusError> {
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim();
    let open = |text: &str| Err(BusError::Open(text.to_owned()));
    match (field("redis_mode"), field("cluster_enabled"), field("role")) {
        ("sentinel", ..) => {
            return open(
                "bus.url leads to a Redis Sentinel; give the address of the Redis, or one that follows its primary",
            );
        }
        ("cluster", ..) | (_, "1", _) => {
            return open(
                "bus.url leads to a Redis Cluster, which is not supported; give a Redis with cluster-enabled no",
            );
        }
        (_, _, "slave") => {
            return open("bus.url leads to a replica, which takes no writes; give the address of its primary");
        }
        _ => {}
    }
    let major: Option<u32> = field("redis_version").split('.').next().and_then(|major| major.parse().ok());
    match major {
        Some(major) if major < OLDEST => Err(BusError::Open(format!(
            "the Redis at bus.url is of version {major}; version {OLDEST} or a newer one is needed"
        ))),
        _ => Ok(()),
    }
}

/// What an error means: a mistake of configuration, or something that may pass.
pub(super) fn failure(client: &Client, error: &RedisError) -> BusError {
    let text = describe(client, error);
    match error.kind() {
        // Whatever it says may repeat what it was told.
        ErrorKind::AuthenticationFailed => {
            BusError::Open("the Redis at bus.url refuses the user or the password; see `ACL LIST` there".to_owned())
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => missing_right(&text),
        _ if ["NOPERM", "no permissions", "can't run this command"].iter().any(|hint| text.contains(hint)) => {
            missing_right(&text)
        }
        _ if text.contains("NOAUTH") => {
            BusError::Open("the Redis at bus.url asks for a password; write redis://USER:PASSWORD@HOST".to_owned())
        }
        _ if text.contains("certificate") => {
            BusError::Open(format!("the certificate of the Redis at bus.url is not trusted: {text}; see bus.ca_file"))
        }
        _ => BusError::Unavailable(text),
    }
}

fn missing_right(text: &str) -> BusError {
    BusError::Open(format!("the user in bus.url lacks a right: {text}; docs/redis.md lists what it needs"))
}

/// What went wrong, fit for a log: short, printable, without a password.
fn describe(client: &Client, error: &RedisError) -> String {
    let text = error.to_string();
    let password = client.get_connection_info().redis_settings().password().unwrap_or_default();
    if !password.is_empty() && text.contains(password) {
        return error.category().to_owned();
    }
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(info: &str) -> String {
        check(info).expect_err("refused").to_string()
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        assert!(check("redis_version:6.0.16\r\nredis_mode:standalone\r\nrole:master\r\ncluster_enabled:0\r\n").is_ok());
        assert!(check("something else").is_ok(), "what says nothing of itself shows what it can");
        assert!(refused("redis_version:5.0.14\r\n").contains("version 6"));
        assert!(refused("redis_mode:sentinel\r\n").contains("Sentinel"));
        assert!(refused("redis_mode:cluster\r\n").contains("Cluster"));
        assert!(refused("redis_mode:standalone\r\ncluster_enabled:1\r\n").contains("Cluster"));
        assert!(refused("redis_mode:standalone\r\nrole:slave\r\n").contains("replica"));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
        let no_tls = "redis://u:hunter2@host";
        let pem = RedisOptions { certificates: Some(b"hunter2".to_vec()), ..RedisOptions::default() };
        for (url, options) in [
            ("redis-sentinel://u:hunter2@host", RedisOptions::default()),
            ("unix:///hunter2", RedisOptions::default()),
            ("redis://u:hunter2@", RedisOptions::default()),
            ("redis://u:hunter2@host/x", RedisOptions::default()),
            ("redis://u:hunt#er2@host", RedisOptions::default()),
            ("rediss://u:hunter2@host#insecure", RedisOptions::default()),
            (no_tls, pem.clone()),
        ] {
            let error = client(url, &options).expect_err(url);
            assert!(matches!(error, BusError::Open(_)) && !format!("{error} {error:?}").contains("hunt"), "{error:?}");
        }
        assert!(client(no_tls, &RedisOptions::default()).is_ok());
    }

    #[test]
    fn an_error_that_repeats_the_password_is_not_told() {
        let client = client("redis://u:hunter2@host", &RedisOptions::default()).unwrap();
        let error = RedisError::from((ErrorKind::Extension, "unknown command", "with args 'hunter2'".to_owned()));
        assert!(error.to_string().contains("hunter2"));
        assert!(!describe(&client, &error).contains("hunter2"));
        let error = RedisError::from((ErrorKind::Extension, "odd", "one\ntwo\u{1b}[2J".to_owned()));
        assert!(describe(&client, &error).chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    }
}
