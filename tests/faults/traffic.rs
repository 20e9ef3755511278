//! Steady traffic: people in pairs who write to each other, reconnect like a client, and send again what has no status.
//! Now and then somebody's connection breaks while a message is on its way there, so the store has work all the time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PSS_SHA256;
use futures_util::{SinkExt, StreamExt, stream};
use parking_lot::Mutex;
use sealwire_tests::Entrance;
use sealwire_tests::stranger::{Dial, Identity, dummy};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::record::{Away, Pair, Record};

/// How often each writes.
const PACE: Duration = Duration::from_millis(500);
/// How many of one's messages may be without a status before one waits.
const AHEAD: usize = 8;
/// How often somebody's connection breaks, in messages that one has written: these are 20 s.
const BREAKS: u64 = 40;
/// How many register at a time.
const AT_ONCE: usize = 16;
/// How long a client waits before it connects again, and for an answer.
const AGAIN: Duration = Duration::from_millis(300);
const ANSWER: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TcpStream>;

/// Which message of which pair an id names.
type Names = Arc<Mutex<HashMap<String, (Pair, u64)>>>;

/// What people do until they are told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Writing,
    /// Nothing new; what is under way is finished.
    Settling,
    Over,
}

/// People who write.
pub(crate) struct Traffic {
    pub(crate) record: Arc<Record>,
    phase: watch::Sender<Phase>,
    people: Vec<tokio::task::JoinHandle<()>>,
}

impl Traffic {
    /// Of so many people, in pairs, who connect to any of these.
    pub(crate) async fn of(people: usize, entrances: &[Entrance]) -> Self {
        let identities = everybody(people, entrances).await;
        let (record, names) = (Arc::new(Record::new()), Names::default());
        let phase = watch::Sender::new(Phase::Writing);
        let mut tasks = Vec::new();
        for n in 0..people {
            let peer = n ^ 1;
            let person = Person {
                pair: (n, peer),
                who: identities[n].clone(),
                key: Arc::new(KeyPair::from_pkcs8(&identities[n].dsk.to_pkcs8()).expect("a key of the pool")),
                peer: identities[peer].clone(),
                entrances: entrances.to_vec(),
                record: record.clone(),
                names: names.clone(),
                phase: phase.subscribe(),
                sent: 0,
                outbox: BTreeMap::new(),
                tries: n,
                breaks: false,
                again: AGAIN,
            };
            tasks.push(tokio::spawn(person.live()));
        }
        Self { record, phase, people: tasks }
    }

    /// Returns when so many more messages have been shown.
    pub(crate) async fn goes_on(&self, messages: usize) {
        let until = self.record.shown() + messages;
        let goes_on = async {
            while self.record.shown() < until {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(120), goes_on).await.expect("messages arrive");
    }

    /// Something is done to the cluster now.
    pub(crate) fn fault(&self, what: &str) {
        self.record.fault(what);
    }

    /// Lets everybody finish, and gives the record.
    pub(crate) async fn ends(self) -> Arc<Record> {
        self.phase.send_replace(Phase::Settling);
        let complete = async {
            while !self.record.is_complete() {
                sleep(Duration::from_millis(100)).await;
            }
            // What nobody waits for any more may still come twice.
            sleep(Duration::from_secs(3)).await;
        };
        let _ = timeout(Duration::from_secs(90), complete).await;
        self.phase.send_replace(Phase::Over);
        for person in self.people {
            person.await.expect("a person does not panic");
        }
        self.record
    }
}

/// Registers so many people.
async fn everybody(people: usize, entrances: &[Entrance]) -> Vec<Arc<Identity>> {
    let registered = (0..people).map(|n| {
        let entrance = entrances[n % entrances.len()];
        async move {
            let made = tokio::task::spawn_blocking(move || Identity::new(&format!("person{n}"))).await;
            let who = Arc::new(made.expect("an identity can be made"));
            entrance.register_as(who.clone(), Dial::default()).await;
            who
        }
    });
    stream::iter(registered).buffered(AT_ONCE).collect().await
}

/// As protocol section 2 has it.
fn sign(key: &KeyPair, bytes: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), bytes, &mut signature).expect("the key is whole");
    signature
}

struct Person {
    pair: Pair,
    who: Arc<Identity>,
    /// The device's key, for a library that signs in no time.
    key: Arc<KeyPair>,
    peer: Arc<Identity>,
    entrances: Vec<Entrance>,
    record: Arc<Record>,
    names: Names,
    phase: watch::Receiver<Phase>,
    sent: u64,
    /// What has no status, by number.
    outbox: BTreeMap<u64, (String, Value)>,
    tries: usize,
    /// The connection breaks with the next message that comes.
    breaks: bool,
    /// How long to wait before connecting again.
    again: Duration,
}

impl Person {
    async fn live(mut self) {
        let (mut lost, mut tries): (Option<Instant>, usize) = (None, 0);
        while *self.phase.borrow() != Phase::Over {
            self.tries += 1;
            let entrance = self.entrances[self.tries % self.entrances.len()];
            let connected = timeout(ANSWER, connect(&entrance, &self.who, &self.key)).await;
            tries += 1;
            if let Ok(Some((socket, upgrade, log_in))) = connected {
                if let Some(since) = lost {
                    self.record.was_away(Away { whole: since.elapsed(), tries, upgrade, log_in });
                }
                self.talk(socket).await;
                (lost, tries) = (Some(Instant::now()), 0);
            }
            sleep(std::mem::replace(&mut self.again, AGAIN)).await;
        }
    }

    /// Until the connection ends.
    async fn talk(&mut self, mut socket: Socket) {
        for (_, frame) in self.outbox.values() {
            if socket.send(Message::text(frame.to_string())).await.is_err() {
                return;
            }
        }
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    let phase = *self.phase.borrow();
                    if phase == Phase::Over {
                        return;
                    }
                    if phase == Phase::Writing && self.outbox.len() < AHEAD && self.write(&mut socket).await.is_none() {
                        return;
                    }
                }
                frame = socket.next() => {
                    let Some(Ok(message)) = frame else { return };
                    let Message::Text(text) = message else { continue };
                    let frame: Value = serde_json::from_str(&text).expect("the server sends JSON");
                    if self.handle(&frame, &mut socket).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn write(&mut self, socket: &mut Socket) -> Option<()> {
        self.sent += 1;
        self.breaks |= (self.sent + self.pair.0 as u64).is_multiple_of(BREAKS);
        let frame = dummy(&self.peer);
        let id = frame["messageId"].as_str().expect("an id").to_owned();
        self.names.lock().insert(id.clone(), (self.pair, self.sent));
        self.record.sent(self.pair, self.sent);
        let text = Message::text(frame.to_string());
        self.outbox.insert(self.sent, (id, frame));
        socket.send(text).await.ok()
    }

    fn number(&self, id: &Value) -> Option<u64> {
        let named = self.names.lock().get(id.as_str()?).copied()?;
        (named.0 == self.pair).then_some(named.1)
    }

    async fn handle(&mut self, frame: &Value, socket: &mut Socket) -> Option<()> {
        match frame["type"].as_str()? {
            // Neither shown nor acknowledged: as far as the server knows, it may have arrived or not.
            "message" if std::mem::take(&mut self.breaks) => return None,
            "message" => {
                let (pair, n) = *self.names.lock().get(frame["messageId"].as_str()?)?;
                self.record.arrived(pair, n);
                let ack = json!({ "type": "ack", "seq": frame["seq"] });
                return socket.send(Message::text(ack.to_string())).await.ok();
            }
            "status" => {
                for id in frame["messageIds"].as_array()? {
                    if let Some(n) = self.number(id)
                        && self.outbox.remove(&n).is_some()
                    {
                        self.record.promised(self.pair, n);
                    }
                }
            }
            "error" => {
                self.record.error(frame["code"].as_str()?);
                // What was refused is not sent again under its number: it could be overtaken by what was taken.
                if let Some(n) = self.number(&frame["messageId"]) {
                    self.record.refused(self.pair, n);
                    self.outbox.remove(&n);
                }
            }
            "reconnect" => {
                self.again = Duration::from_millis(frame["afterMs"].as_u64()?);
                return None;
            }
            _ => {}
        }
        Some(())
    }
}

/// Gives the connection, and how long upgrade and log-in took.
async fn connect(entrance: &Entrance, who: &Arc<Identity>, key: &Arc<KeyPair>) -> Option<(Socket, Duration, Duration)> {
    let began = Instant::now();
    let mut request = entrance.url().into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("sealwire.v1"));
    let stream = TcpStream::connect(entrance.address()).await.ok()?;
    let (mut socket, _) = client_async(request, stream).await.ok()?;
    let upgraded = Instant::now();
    loop {
        let Message::Text(text) = socket.next().await?.ok()? else { continue };
        let frame: Value = serde_json::from_str(&text).expect("the server sends JSON");
        match frame["type"].as_str()? {
            "challenge" => {
                let (who, key) = (who.clone(), key.clone());
                let auth = tokio::task::spawn_blocking(move || who.auth_signed_by(&frame, |bytes| sign(&key, bytes)));
                let auth = auth.await.ok()?;
                socket.send(Message::text(auth.to_string())).await.ok()?;
            }
            "session" => return Some((socket, upgraded - began, upgraded.elapsed())),
            _ => return None,
        }
    }
}
