//! The control socket: `control.sock` in the data directory, through which the command line has a running server carry
//! its requests out, so that the server stays the only writer. One JSON line goes in, one comes out. Only the
//! account that runs the server, and root, are heard.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{MetadataExt as _, PermissionsExt as _},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use countersign_events::recorded::Actor;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    Misuse,
    execute::{Request, execute, execute_telling},
    is_misuse,
    open::{self, CannotWrite, DataDir, Database, Lock, Look, Missing, Place},
    operator,
    output::Output,
    progress::Progress,
    projections,
};
use crate::{app::App, config::Config, ownership, projector::Pace, world::World};

/// No request is longer.
const REQUEST_BYTES: u64 = 64 * 1024;
/// No answer is longer: a list of a million members fits.
const ANSWER_BYTES: u64 = 512 * 1024 * 1024;
/// Whoever connects sends their line within this time.
const LISTENING: Duration = Duration::from_secs(5);
/// No request takes longer.
const WORKING: Duration = Duration::from_mins(1);
/// How often whoever waits for long work hears how far it is.
const TELLING: Duration = Duration::from_millis(250);
/// So many are answered at once; others wait.
const AT_ONCE: usize = 16;
/// How often, and how far apart, a command tries the lock and the socket in turn: a server may be about to start or stop.
const TRIES: u32 = 50;
/// So often where nothing but the server's answer will do.
const STARTING_TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);
/// The longest path that the address of a Unix socket holds on every system.
const LONGEST_ADDRESS: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    /// The account at the command line, without `cli:`.
    operator: String,
    request: Request,
}

/// What comes back through the socket.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done.
    Ok(Output),
    /// Not done.
    Err {
        /// Why, and what to do about it.
        message: String,
        /// Whether what was typed is at fault.
        #[serde(default)]
        misuse: bool,
    },
    /// Not done yet; further answers come.
    Working(Pace),
}

impl Answer {
    fn of(error: &anyhow::Error) -> Self {
        Self::Err { message: format!("{error:#}"), misuse: is_misuse(error) }
    }
}

/// Has a request carried out: by the running server, or else here, on the opened data directory.
///
/// # Errors
/// Whatever the use case says; a data directory that is missing, or held by a process that does not answer.
pub async fn carry_out(config: Config, request: Request, missing: Missing) -> anyhow::Result<Output> {
    if let Some(database) = Database::of(&config) {
        return carry_out_at(&Place::Database(database.where_missing(missing)), config, request).await;
    }
    let data_dir = config.data_dir.clone();
    let mut last = None;
    for _ in 0..TRIES {
        let holder = match open::lock(&data_dir, missing) {
            Ok(Lock::Ours(dir)) => return carry_out_at(&Place::Directory(dir), config, request).await,
            Ok(Lock::Held(holder)) => holder,
            Err(error) if error.is::<CannotWrite>() && request.only_looks() => match open::copied(&config)? {
                Look::Copy(config, dir) => return look_at_copy(*config, dir, request).await,
                Look::Held(holder) => holder,
            },
            Err(error) => return Err(error),
        };
        match connect(&data_dir).await {
            Ok(stream) => {
                let answered = ask(stream, request.clone()).await;
                let Some(error) = answered.as_ref().err().and_then(unread) else { return answered };
                last = Some((holder, error));
            }
            Err(error) if is_nobody(&error) => last = Some((holder, error)),
            Err(error) => return Err(unanswered(&data_dir, &holder, error)),
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let (holder, error) = last.unwrap_or_else(|| ("another process".to_owned(), ErrorKind::TimedOut.into()));
    Err(unanswered(&data_dir, &holder, error))
}

/// Carries a request out on a copy, which goes with it, also when it is interrupted.
async fn look_at_copy(config: Config, dir: DataDir, request: Request) -> anyhow::Result<Output> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let place = Place::Directory(dir);
    tokio::select! {
        output = carry_out_at(&place, config, request) => output,
        _ = hang_up.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("interrupted"),
        _ = interrupt.recv() => bail!("interrupted"),
    }
}

/// Carries a request out here.
async fn carry_out_at(place: &Place, config: Config, request: Request) -> anyhow::Result<Output> {
    if let Request::Projections(asked) = request {
        return projections::carry_out(place, config, asked).await;
    }
    let app = place.start(config, World::system()).await?;
    let output = execute(&app, request, operator::current()).await;
    app.stop().await;
    if output.is_ok() {
        place.made();
    }
    output
}

/// Has the running server carry a request out; never does so here.
///
/// # Errors
/// When no server answers, or whatever it says.
pub async fn ask_running(data_dir: &Path, request: Request) -> anyhow::Result<Output> {
    for _ in 0..STARTING_TRIES {
        match connect(data_dir).await {
            Ok(stream) => match ask(stream, request.clone()).await {
                Err(error) if unread(&error).is_some() => {}
                answered => return answered,
            },
            Err(error) if is_nobody(&error) => {}
            Err(error) => return Err(error).context("its control socket"),
        }
        tokio::time::sleep(BETWEEN).await;
    }
    bail!("it has no control socket")
}

/// Has a request carried out by the running server. `None` when there is none, or when it went away meanwhile.
///
/// # Errors
/// Whatever the use case says, or a server that does not let itself be asked.
pub(super) async fn ask_server(data_dir: &Path, request: Request) -> anyhow::Result<Option<Output>> {
    match connect(data_dir).await {
        Ok(stream) => match ask(stream, request).await {
            // What a server says has no cause; a conversation that broke off has one.
            Err(error) if error.source().is_some() => Ok(None),
            answered => answered.map(Some),
        },
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(unanswered(data_dir, "another process", error)),
    }
}

/// Whether nobody listens: what lies there is a server's that is gone, or just going.
fn is_nobody(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error.kind())
}

/// The error of a connection that ended before the whole request was read: then nothing of it was carried out, and it
/// can be sent again. Whoever reads it all and ends then leaves another error.
fn unread(error: &anyhow::Error) -> Option<io::Error> {
    let kind = error.downcast_ref::<io::Error>()?.kind();
    [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&kind).then(|| kind.into())
}

fn unanswered(data_dir: &Path, holder: &str, error: io::Error) -> anyhow::Error {
    let (dir, socket) = (data_dir.display(), data_dir.join("control.sock"));
    anyhow::Error::from(error).context(format!(
        "{holder} holds the data directory {dir} and does not answer on {}: if that is a server, run this as the \
         account that runs it, or stop it first; if it is another command, try again when it is done",
        socket.display()
    ))
}

async fn ask(mut stream: UnixStream, request: Request) -> anyhow::Result<Output> {
    let Actor::Cli(operator) = operator::current() else { bail!("the command line has no operator") };
    let mut line = serde_json::to_vec(&Letter { operator, request })?;
    line.push(b'\n');
    let unknown = "the server did not answer; look whether it has done this before you send it again";
    timeout(LISTENING, stream.write_all(&line)).await.context(unknown)?.context(unknown)?;
    let mut answers = BufReader::new(stream.take(ANSWER_BYTES));
    let progress = Progress::new();
    loop {
        let mut answer = vec![];
        let read = answers.read_until(b'\n', &mut answer);
        timeout(WORKING + LISTENING, read).await.context(unknown)?.context(unknown)?;
        match serde_json::from_slice(&answer).context(unknown)? {
            Answer::Ok(output) => return Ok(output),
            Answer::Err { message, misuse: true } => return Err(Misuse(message).into()),
            Answer::Err { message, misuse: false } => bail!(message),
            Answer::Working(pace) => progress.show(&pace),
        }
    }
}

/// The socket's file, and an address for it. Addresses are short; a long path is reached through the open directory.
fn address(data_dir: &Path) -> io::Result<(PathBuf, PathBuf, Option<File>)> {
    let file = data_dir.join("control.sock");
    if file.as_os_str().as_bytes().len() <= LONGEST_ADDRESS {
        return Ok((file.clone(), file, None));
    }
    let dir = File::open(data_dir)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/control.sock", dir.as_raw_fd()));
    Ok((file, short, Some(dir)))
}

async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let (file, address, _dir) = address(data_dir)?;
    ownership::must_be_socket(&file)?;
    let stream = UnixStream::connect(address).await?;
    // Before anything is sent, which may be a password: whoever can write in the directory could listen there.
    ownership::must_be_ours(&file, stream.peer_cred()?.uid())?;
    Ok(stream)
}

/// A server's end of the socket.
pub struct Control {
    file: PathBuf,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens. Call it with the data directory's lock in hand: a socket that lies there is a dead server's.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(data_dir: &Path, app: Arc<App>) -> io::Result<Self> {
        let (file, address, _dir) = address(data_dir)?;
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(address)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let owner = fs::symlink_metadata(&file)?.uid();
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(accept(listener, app, owner, stopped));
        Ok(Self { file, stop, task })
    }

    /// Stops listening; requests that have begun are finished.
    pub async fn stop(self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::warn!(%error, "the control socket could not be removed");
        }
        drop(self.stop);
        if self.task.await.is_err() {
            tracing::error!("the control socket ended badly");
        }
    }
}

async fn accept(listener: UnixListener, app: Arc<App>, owner: u32, mut stopped: watch::Receiver<()>) {
    let mut talks = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = talks.join_next() => {}
            accepted = listener.accept(), if talks.len() < AT_ONCE => match accepted {
                Ok((stream, _)) => {
                    talks.spawn(talk(stream, app.clone(), owner));
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket did not accept");
                    tokio::time::sleep(BETWEEN).await;
                }
            },
        }
    }
    drop(listener);
    let rest = async { while talks.join_next().await.is_some() {} };
    if timeout(LISTENING, rest).await.is_err() {
        tracing::warn!("commands were cut off");
    }
}

async fn talk(mut stream: UnixStream, app: Arc<App>, owner: u32) {
    let heard = match stream.peer_cred() {
        Ok(peer) if peer.uid() == owner || peer.uid() == 0 => hear(&mut stream).await,
        Ok(_) => Err(anyhow!("only the account that runs the server may do this")),
        Err(error) => Err(error.into()),
    };
    let answer = match heard {
        Ok(letter) => answer_telling(&mut stream, &app, letter).await,
        Err(error) => Answer::of(&error),
    };
    let Ok(mut line) = serde_json::to_vec(&answer) else { return };
    line.push(b'\n');
    // Whoever asked may have gone away; what was done is done.
    let _ = timeout(LISTENING, stream.write_all(&line)).await;
}

async fn hear(stream: &mut UnixStream) -> anyhow::Result<Letter> {
    let line = timeout(LISTENING, read_line(stream)).await.context("no request came in time")??;
    // The parser's own words would repeat parts of the line, and a password can be among them.
    serde_json::from_slice(&line).map_err(|_| {
        anyhow!("the server does not understand this command; it must be of the same version as the command line")
    })
}

async fn read_line(stream: impl AsyncRead + Unpin) -> anyhow::Result<Vec<u8>> {
    let mut line = vec![];
    BufReader::new(stream.take(REQUEST_BYTES)).read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        bail!("a request is one line of at most {REQUEST_BYTES} bytes");
    }
    Ok(line)
}

/// The answer; while it is worked on, how far that is.
async fn answer_telling(stream: &mut UnixStream, app: &App, letter: Letter) -> Answer {
    let Request::Projections(_) = &letter.request else { return answer(app, letter).await };
    tracing::info!(command = letter.request.name(), "asked by the command line");
    let (told, pace) = watch::channel(None);
    let tell = |pace| drop(told.send_replace(Some(pace)));
    // It takes as long as the log is; whoever asked hears from it all the time.
    let work = execute_telling(app, letter.request, operator::actor(&letter.operator), &tell);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return match done {
                Ok(output) => Answer::Ok(output),
                Err(error) => Answer::of(&error),
            },
            () = tokio::time::sleep(TELLING) => {
                let now = pace.borrow().clone();
                let line = now.and_then(|pace| serde_json::to_vec(&Answer::Working(pace)).ok());
                if let Some(mut line) = line {
                    line.push(b'\n');
                    // Whoever asked may have gone away; the work is done all the same.
                    let _ = timeout(LISTENING, stream.write_all(&line)).await;
                }
            }
        }
    }
}

async fn answer(app: &App, letter: Letter) -> Answer {
    tracing::info!(command = letter.request.name(), "asked by the command line");
    match timeout(WORKING, execute(app, letter.request, operator::actor(&letter.operator))).await {
        Ok(Ok(output)) => Answer::Ok(output),
        Ok(Err(error)) => Answer::of(&error),
        Err(_) => Answer::of(&anyhow!("this took too long; look whether it was done before you repeat it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_read_and_what_is_too_long_or_cut_off_is_refused() {
        assert_eq!(read_line(&b"{}\nmore"[..]).await.unwrap(), b"{}");
        read_line(&b"{}"[..]).await.unwrap_err();
        read_line(&b""[..]).await.unwrap_err();
        let mut longest = vec![b'x'; usize::try_from(REQUEST_BYTES).unwrap() - 1];
        longest.push(b'\n');
        read_line(longest.as_slice()).await.unwrap();
        longest.insert(0, b'x');
        read_line(longest.as_slice()).await.unwrap_err();
    }

    #[tokio::test]
    async fn what_is_not_understood_is_not_repeated() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let line = br#"{"operator":"ada","request":{"account_create":{"password":"correct horse","roles":["x"]}}}"#;
        ours.write_all(line).await.unwrap();
        ours.write_all(b"\n").await.unwrap();
        let error = hear(&mut theirs).await.err().unwrap();
        assert!(!format!("{error:#}").contains("horse"), "{error:#}");
    }

    #[tokio::test]
    async fn a_letter_comes_through_and_an_answer_comes_back() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = async {
            let letter = hear(&mut theirs).await.unwrap();
            assert!(matches!(&letter.request, Request::AccountSuspend { name } if name == "bo"));
            let answer = Answer::Ok(Output::Sentence("done".to_owned()));
            let line = serde_json::to_string(&answer).unwrap() + "\n";
            theirs.write_all(line.as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(ours, Request::AccountSuspend { name: "bo".to_owned() }), server);
        assert!(matches!(answer.unwrap(), Output::Sentence(sentence) if sentence == "done"));
    }

    #[tokio::test]
    async fn a_server_that_resets_the_connection_is_none_and_one_that_read_the_request_may_have_done_it() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let end_unread = async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask_server(directory.path(), Request::AccountList), end_unread);
        assert!(answer.unwrap().is_none());
        for (reads, is_unread) in [(false, true), (true, false)] {
            let end = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.readable().await.unwrap();
                if reads {
                    hear(&mut stream).await.unwrap();
                }
            };
            let stream = connect(directory.path()).await.unwrap();
            let (answer, ()) = tokio::join!(ask(stream, Request::AccountList), end);
            let error = answer.err().unwrap();
            assert_eq!(unread(&error).is_some(), is_unread, "{error:#}");
        }
    }

    #[test]
    fn a_long_path_gets_a_short_address() {
        let above = tempfile::tempdir().unwrap();
        let deep = above.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let (file, address, dir) = address(&deep).unwrap();
        assert!(dir.is_some() && file.starts_with(&deep) && address.as_os_str().len() <= LONGEST_ADDRESS);
        std::os::unix::net::UnixListener::bind(address).unwrap();
        assert!(file.exists());
    }
}
