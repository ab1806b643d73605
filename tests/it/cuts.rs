//! What a network does to a node and its database: it delays, holds back, cuts, and loses the answer to a commit. A proxy
//! in front of the server, with a thread and a runtime of its own, so that nothing a test does holds it up.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    time::sleep,
};

/// With what a writer commits, and nobody else: its last words to the server before it waits for the answer.
const COMMIT: &[u8] = b"\ncommit\0";

/// A proxy between whoever connects to [`Cuts::url`] and a database.
pub struct Cuts {
    address: SocketAddr,
    way: watch::Sender<Way>,
    /// What becomes of the next commit, as [`Lost`] numbers it.
    next_commit: Arc<AtomicU64>,
    commits_cut: Arc<AtomicU64>,
}

/// What the way does to whoever is on it.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    pace: Pace,
    refuses: bool,
    /// How often everything was cut.
    cuts: u64,
}

#[derive(Debug, Clone, Copy, Default)]
enum Pace {
    #[default]
    Free,
    /// Whatever comes waits for a random time, at most so long.
    Delayed(Duration),
    /// Nothing comes through, and nothing is lost.
    Frozen,
}

/// What of a commit does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The commit itself: it did not happen.
    Commit = 1,
    /// The answer to it: it happened, and nobody is told.
    Answer = 2,
}

/// Numbers without a pattern, from any number.
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Cuts {
    /// In front of the server of this URL.
    pub fn before(url: &str) -> Self {
        let server = Server::of(url);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        listener.set_nonblocking(true).expect("it can be waited for");
        let (way, on_it) = watch::channel(Way::default());
        let (next_commit, commits_cut) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let connection = Connection { server, way: on_it, next_commit: next_commit.clone(), cut: commits_cut.clone() };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(connection.accept(listener));
        });
        Self { address, way, next_commit, commits_cut }
    }

    /// The same database, through this.
    pub fn url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("it can have a host");
        url.set_port(Some(self.address.port())).expect("it can have a port");
        url.into()
    }

    /// As if this were not there.
    pub fn pass(&self) {
        self.next_commit.store(0, Ordering::SeqCst);
        self.way.send_modify(|way| *way = Way { cuts: way.cuts, ..Way::default() });
    }

    pub fn delay(&self, at_most: Duration) {
        self.way.send_modify(|way| way.pace = Pace::Delayed(at_most));
    }

    /// Holds everything back; new connections are taken, and wait.
    pub fn freeze(&self) {
        self.way.send_modify(|way| way.pace = Pace::Frozen);
    }

    /// Resets every connection.
    pub fn cut(&self) {
        self.way.send_modify(|way| way.cuts += 1);
    }

    /// Resets whoever connects.
    pub fn refuse(&self) {
        self.way.send_modify(|way| way.refuses = true);
    }

    /// Resets the connection on which the next commit comes.
    pub fn cut_the_next_commit(&self, lost: Lost) {
        self.next_commit.store(lost as u64, Ordering::SeqCst);
    }

    /// How many commits were cut.
    pub fn commits_cut(&self) -> u64 {
        self.commits_cut.load(Ordering::SeqCst)
    }
}

/// Where the server listens.
#[derive(Clone)]
enum Server {
    Socket(PathBuf),
    Port(String, u16),
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Server {
    fn of(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).expect("a database's URL");
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        match options.get_socket() {
            Some(directory) => Self::Socket(directory.join(format!(".s.PGSQL.{port}"))),
            None if host.starts_with('/') => Self::Socket(PathBuf::from(host).join(format!(".s.PGSQL.{port}"))),
            None => Self::Port(host, port),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Port(host, port) => Box::new(TcpStream::connect((host.as_str(), *port)).await?),
        })
    }
}

#[derive(Clone)]
struct Connection {
    server: Server,
    way: watch::Receiver<Way>,
    next_commit: Arc<AtomicU64>,
    cut: Arc<AtomicU64>,
}

impl Connection {
    /// Until whoever commands is gone.
    async fn accept(mut self, listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).expect("a listener");
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((client, _)) = accepted else { continue };
                    if self.way.borrow().refuses {
                        reset(&client);
                    } else {
                        tokio::spawn(self.clone().carry(client));
                    }
                }
                changed = self.way.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn carry(self, mut client: TcpStream) {
        let cuts = self.way.borrow().cuts;
        let mut way = self.way.clone();
        let carried = async {
            self.pace().await;
            let mut server = self.server.connect().await?;
            client.set_nodelay(true)?;
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = tokio::io::split(&mut server);
            tokio::select! {
                ended = self.pump(from_client, to_server, true) => ended,
                ended = self.pump(from_server, to_client, false) => ended,
            }
        };
        let ended = tokio::select! {
            ended = carried => ended,
            _ = way.wait_for(|way| way.cuts != cuts) => Err(io::ErrorKind::ConnectionReset.into()),
        };
        if ended.is_err() {
            reset(&client);
        }
    }

    /// Carries bytes one way until they end.
    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        to_the_server: bool,
    ) -> io::Result<()> {
        let mut bytes = vec![0; 16 << 10];
        loop {
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            self.pace().await;
            let bytes = &bytes[..length];
            let commits = to_the_server && bytes.windows(COMMIT.len()).any(|window| window == COMMIT);
            let lost = if commits { self.next_commit.swap(0, Ordering::SeqCst) } else { 0 };
            if lost != Lost::Commit as u64 {
                to.write_all(bytes).await?;
            }
            if lost != 0 {
                self.cut.fetch_add(1, Ordering::SeqCst);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    /// Waits as long as the way wants it.
    async fn pace(&self) {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let mut way = self.way.clone();
        let pace = way.wait_for(|way| !matches!(way.pace, Pace::Frozen)).await.map(|way| way.pace);
        if let Ok(Pace::Delayed(at_most)) = pace {
            let draw = mix(DRAWN.fetch_add(1, Ordering::Relaxed));
            sleep(Duration::from_micros(draw % u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX).max(1))).await;
        }
    }
}

/// The other side gets a reset in the place of an end, once the connection is dropped.
fn reset(client: &TcpStream) {
    // It may be gone already.
    let _ = client.set_zero_linger();
}

mod tests {
    use std::time::Duration;

    use sqlx::{Connection as _, PgConnection, raw_sql};
    use tokio::time::timeout;

    use super::{Cuts, Lost};
    use crate::postgres_server::{TestDatabase, connect, require, run};

    /// Longer than any answer takes that comes.
    const A_WHILE: Duration = Duration::from_millis(300);

    async fn given() -> Option<(TestDatabase, Cuts, PgConnection)> {
        if !require() {
            return None;
        }
        let database = TestDatabase::create().await;
        let cuts = Cuts::before(&database.url);
        let client = connect(&cuts.url(&database.url)).await;
        Some((database, cuts, client))
    }

    async fn count(database: &TestDatabase) -> i64 {
        let mut tool = connect(&database.url).await;
        sqlx::query_scalar("select count(*) from things").fetch_one(&mut tool).await.expect("it answers")
    }

    #[tokio::test]
    async fn what_is_frozen_comes_after_the_thaw() {
        let Some((_database, cuts, mut client)) = given().await else { return };
        cuts.freeze();
        let mut ask = Box::pin(sqlx::query_scalar::<_, i64>("select 7::bigint").fetch_one(&mut client));
        assert!(timeout(A_WHILE, &mut ask).await.is_err(), "nothing comes through");
        cuts.pass();
        assert_eq!(ask.await.expect("nothing is lost"), 7);
    }

    #[tokio::test]
    async fn a_cut_ends_every_connection_and_new_ones_come_through() {
        let Some((database, cuts, mut client)) = given().await else { return };
        cuts.cut();
        assert!(client.ping().await.is_err());
        connect(&cuts.url(&database.url)).await.ping().await.expect("another connection");
        cuts.refuse();
        assert!(PgConnection::connect(&cuts.url(&database.url)).await.is_err());
    }

    #[tokio::test]
    async fn of_a_commit_either_it_or_its_answer_is_lost() {
        let Some((database, cuts, mut client)) = given().await else { return };
        run(&mut connect(&database.url).await, "create table things (id bigint)").await;
        cuts.cut_the_next_commit(Lost::Commit);
        assert!(raw_sql("begin;\ninsert into things values (1);\ncommit").execute(&mut client).await.is_err());
        assert_eq!((count(&database).await, cuts.commits_cut()), (0, 1));
        let mut client = connect(&cuts.url(&database.url)).await;
        cuts.cut_the_next_commit(Lost::Answer);
        assert!(raw_sql("begin;\ninsert into things values (1);\ncommit").execute(&mut client).await.is_err());
        // The server takes its time to end what it was told.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while count(&database).await == 0 {
            assert!(std::time::Instant::now() < deadline, "it was committed");
        }
        assert_eq!(cuts.commits_cut(), 2);
    }
}
