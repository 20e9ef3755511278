//! The double itself: listens, dials the real server for each client, and asks its script about every frame.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::sockets::{self, Order};
use crate::Server;
use crate::stranger::PATIENCE;

/// Orders that may wait for a connection; a test that gives more has to wait.
const ORDERS: usize = 64;

/// Who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The real server.
    Server,
}

/// A frame that passes by.
#[derive(Debug, Clone)]
pub struct Passing {
    /// The connection, counted from 0.
    pub connection: usize,
    /// Whose connection it is; empty before the client has said so.
    pub who: String,
    /// Who sent it.
    pub side: Side,
    /// The frame.
    pub frame: Value,
}

/// What is done about a frame. A script gives any number of these; none means that the frame is swallowed.
///
/// Messages to a client are numbered anew (`seq`), so that what was dropped or made up leaves no hole; acknowledgements are
/// translated back.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends a frame on, as it was or changed.
    On(Value),
    /// Sends a frame back to where this one came from.
    Back(Value),
    /// Sends the client a WebSocket message, whatever it is, without numbering it.
    Raw(Message),
    /// Closes the client's connection with this code.
    Close(u16),
}

/// What has passed, as it came, before the script changed anything.
pub type Seen = Passing;

type Script = Box<dyn FnMut(&Passing) -> Vec<Act> + Send>;

/// A connection of a client's.
struct Line {
    who: String,
    orders: mpsc::Sender<Order>,
}

/// What the connections share.
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    pub(super) address: SocketAddr,
    script: Mutex<Script>,
    lines: Mutex<Vec<Line>>,
    log: watch::Sender<Vec<Seen>>,
}

/// A poisoned lock only means that another test's task has panicked, which fails the test anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A frame passes by; gives what is done about it.
    pub(super) fn passes(&self, passing: &Passing) -> Vec<Act> {
        self.log.send_modify(|log| log.push(passing.clone()));
        lock(&self.script)(passing)
    }

    /// A client has dialled; gives its number and where its orders come from.
    fn dialled(&self) -> (usize, mpsc::Receiver<Order>) {
        let (orders, orders_in) = mpsc::channel(ORDERS);
        let mut lines = lock(&self.lines);
        lines.push(Line { who: String::new(), orders });
        (lines.len() - 1, orders_in)
    }

    /// A client has said who it is.
    pub(super) fn is(&self, connection: usize, who: &str) {
        who.clone_into(&mut lock(&self.lines)[connection].who);
    }
}

/// The server's double. It is honest until it is given a script.
pub struct Proxy {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.shared.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn honest(passing: &Passing) -> Vec<Act> {
    vec![Act::On(passing.frame.clone())]
}

impl Proxy {
    /// Stands before a server.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server: server.address(),
            address,
            script: Mutex::new(Box::new(honest)),
            lines: Mutex::default(),
            log: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { shared, accepting }
    }

    /// The origin that clients dial.
    pub fn origin(&self) -> String {
        format!("ws://{}", self.shared.address)
    }

    /// From now on this decides on every frame.
    pub fn script(&self, script: impl FnMut(&Passing) -> Vec<Act> + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
    }

    /// From now on this decides on frames of one type from one side; all others pass.
    pub fn on(&self, side: Side, kind: &'static str, mut decide: impl FnMut(&Passing) -> Vec<Act> + Send + 'static) {
        self.script(move |passing| {
            if passing.side == side && passing.frame["type"] == kind { decide(passing) } else { honest(passing) }
        });
    }

    /// From now on everything passes.
    pub fn be_honest(&self) {
        self.script(honest);
    }

    /// Waits until a frame like this has passed; gives the first one.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn seen<'a>(&'a self, wanted: &'a str, is_it: impl Fn(&Seen) -> bool + 'a) -> impl Future<Output = Seen> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let mut log = self.shared.log.subscribe();
            let found = timeout(PATIENCE, log.wait_for(|log| log.iter().any(&is_it))).await;
            let found = found.unwrap_or_else(|_| panic!("waited in vain for {wanted} at {at}"));
            let log = found.expect("the proxy lives");
            log.iter().find(|seen| is_it(seen)).expect("it was waited for").clone()
        }
    }

    /// Everything that has passed so far.
    pub fn log(&self) -> Vec<Seen> {
        self.shared.log.borrow().clone()
    }

    /// Sends a frame to whoever is logged in under this name, as the server would.
    pub async fn deliver(&self, who: &str, frame: &Value) {
        self.order(who, Order::Deliver(frame.clone())).await;
    }

    /// Sends a WebSocket message to whoever is logged in under this name, whatever it is.
    pub async fn send_raw(&self, who: &str, message: Message) {
        self.order(who, Order::Raw(message)).await;
    }

    /// Sends the real server a frame in the name of whoever is logged in under this name.
    pub async fn forward(&self, who: &str, frame: &Value) {
        self.order(who, Order::Forward(frame.clone())).await;
    }

    /// Closes the connection of whoever is logged in under this name.
    pub async fn close(&self, who: &str, code: u16) {
        self.order(who, Order::Close(code)).await;
    }

    async fn order(&self, who: &str, order: Order) {
        let newest = lock(&self.shared.lines).iter().rev().find(|line| line.who == who).map(|line| line.orders.clone());
        let orders = newest.unwrap_or_else(|| panic!("{who} has never been connected"));
        orders.send(order).await.unwrap_or_else(|_| panic!("{who} is not connected"));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // A listener that fails leaves the tests waiting in vain, which they say.
    while let Ok((stream, _)) = listener.accept().await {
        let (connection, orders) = shared.dialled();
        tokio::spawn(sockets::stand_between(stream, shared.clone(), connection, orders));
    }
}
