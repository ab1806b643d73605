//! Connections: taken, served, and ended when they take too long. Nobody holds one for nothing: a head comes within
//! half a minute, what is read is read on, an idle one is closed after a while. When there are as many as there may be,
//! the one that has waited longest without asking anything gives way, of the address that has the most.

mod paced;

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};
use tower::ServiceExt as _;

use crate::{metrics::Connections as Counted, rate_limit::origin, world::Stopwatch};
use paced::{Busy, Paced, Phase};

/// A connection that asks nothing is closed after this: proxies keep theirs for 60 or 75 seconds.
const IDLE: Duration = Duration::from_secs(90);
/// After an error of the system's, such as no file being left, it is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// So many files are for everything else: databases, the control socket, the log.
const OTHER_FILES: usize = 128;
/// There is room for so many in any case.
const FEWEST: usize = 16;

/// How far the server is with stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// It serves.
    Serving,
    /// It serves, and asks whoever comes to go elsewhere next time.
    Draining,
    /// It takes nobody new, and finishes what runs.
    Finishing,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// In all.
    pub most: usize,
    /// From one address.
    pub of_one: usize,
}

impl Room {
    /// As the settings want it, as far as this process may open files; it may open as many as the system lets it.
    #[must_use]
    pub fn of(most: u32, of_one: u32) -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
        let files = if raised { maximum } else { current };
        let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
        let most = (most as usize).min(files.saturating_sub(OTHER_FILES)).max(FEWEST);
        Self { most, of_one: (of_one as usize).min(most) }
    }
}

/// One connection, as the others see it.
struct Open {
    from: Option<IpAddr>,
    phase: Arc<Phase>,
    gives_way: Arc<Notify>,
}

/// Every connection there is.
struct Connections {
    room: Room,
    /// Of proxies any number.
    is_proxy: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    open: Mutex<HashMap<u64, Open>>,
    counted: Arc<Counted>,
}

impl Connections {
    /// Room for one more from there; whoever asks nothing gives way. `false` when all are at work.
    fn make_room(&self, from: IpAddr) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let address = if (self.is_proxy)(from) { None } else { origin(Some(from)) };
        let of_one = open.values().filter(|one| address.is_some() && one.from == address).count();
        let gives_way = if of_one >= self.room.of_one {
            longest_waiting(&open, |one| one.from == address)
        } else if open.len() >= self.room.most {
            let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
            for one in open.values().filter(|one| one.phase.has_waited().is_some()) {
                *counts.entry(one.from).or_default() += 1;
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(from, _)| from);
            most.and_then(|most| longest_waiting(&open, |one| one.from == most))
        } else {
            return true;
        };
        let ended = gives_way.and_then(|number| open.remove(&number));
        let Some(ended) = ended else {
            self.counted.ended.add("refused", 1);
            return false;
        };
        ended.gives_way.notify_one();
        self.counted.ended.add("gave_way", 1);
        true
    }

    fn enter(&self, number: u64, from: IpAddr) -> (Arc<Phase>, Arc<Notify>) {
        let (phase, gives_way) = (Arc::new(Phase::default()), Arc::new(Notify::new()));
        let from = if (self.is_proxy)(from) { None } else { origin(Some(from)) };
        let entered = Open { from, phase: phase.clone(), gives_way: gives_way.clone() };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(number, entered);
        self.counted.set_open(open.len());
        (phase, gives_way)
    }

    fn leave(&self, number: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&number);
        self.counted.set_open(open.len());
    }
}

fn longest_waiting(open: &HashMap<u64, Open>, of: impl Fn(&Open) -> bool) -> Option<u64> {
    let waiting = open.iter().filter(|(_, one)| of(one));
    let waiting = waiting.filter_map(|(number, one)| Some((one.phase.has_waited()?, *number)));
    waiting.max().map(|(_, number)| number)
}

/// Serves a site until its course is to finish; then what runs is finished. Dropped before, it ends everything.
pub async fn serve(
    listener: TcpListener,
    site: Router,
    room: Room,
    is_proxy: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    counted: Arc<Counted>,
    mut course: watch::Receiver<Course>,
) {
    let is_proxy = Box::new(is_proxy);
    let connections = Arc::new(Connections { room, is_proxy, open: Mutex::default(), counted });
    let mut tasks = JoinSet::new();
    let mut told = None;
    for number in 0.. {
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    not_accepted(&error, &mut told).await;
                    continue;
                }
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = finishing(&mut course) => break,
        };
        if !connections.make_room(from.ip().to_canonical()) {
            continue;
        }
        let (phase, gives_way) = connections.enter(number, from.ip().to_canonical());
        let (connections, site, course) = (connections.clone(), site.clone(), course.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = converse(stream, from, site, &phase, &connections.counted, course) => {}
                () = gives_way.notified() => {}
            }
            connections.leave(number);
        });
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Until the site takes nobody new.
async fn finishing(course: &mut watch::Receiver<Course>) {
    // Whoever started the site is gone with the sender.
    drop(course.wait_for(|course| *course == Course::Finishing).await);
}

/// A client that went before it was taken is nothing; everything else is told, once a minute.
async fn not_accepted(error: &io::Error, told: &mut Option<Stopwatch>) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    if told.is_none_or(|told| told.elapsed() >= Duration::from_mins(1)) {
        tracing::error!(%error, "no connection can be taken; when files have run out, let this process open more");
        *told = Some(Stopwatch::start());
    }
    tokio::time::sleep(AGAIN).await;
}

/// What one connection asks, and is answered.
async fn converse(
    stream: TcpStream,
    from: SocketAddr,
    site: Router,
    phase: &Arc<Phase>,
    counted: &Counted,
    mut course: watch::Receiver<Course>,
) {
    // Answers are small and whole: nothing is gained by waiting for more of them.
    drop(stream.set_nodelay(true));
    let goes_on = course.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = phase.begin();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        let (site, goes_on) = (site.clone(), goes_on.clone());
        async move {
            let Ok(mut response) = site.oneshot(request).await;
            if *goes_on.borrow() != Course::Serving {
                response.headers_mut().insert(header::CONNECTION, const { HeaderValue::from_static("close") });
            }
            Ok::<_, Infallible>(until_it_is_sent(response, busy))
        }
    });
    let stream = Paced::new(stream, phase.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut is_finishing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    note(&error, counted);
                }
                return;
            }
            () = finishing(&mut course), if !is_finishing => {
                // What has begun to be asked and is not whole was never a request.
                if phase.is_in_head() {
                    return;
                }
                is_finishing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// An answer that is written piece by piece keeps its connection at work to its end.
fn until_it_is_sent(response: Response, busy: Busy) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _at_work = &busy;
            frame
        }))
    })
}

/// Why a connection was ended, as far as it was ended here.
fn note(error: &hyper::Error, counted: &Counted) {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(late) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(late) = late.downcast_ref::<paced::Late>()
        {
            counted.ended.add(late.word(), 1);
        }
        cause = error.source();
    }
}
