//! What a server that takes no connection said or did not say, in words that tell which server it is and what to do. No
//! password is among them.

use std::io::ErrorKind;

use sqlx::postgres::PgConnectOptions;

/// The oldest server that this program works with.
const OLDEST: u32 = 140_000;

/// Where a server is, and which of its databases is meant: `server db1:5432, database site`.
pub(super) fn name(options: &PgConnectOptions) -> String {
    let port = options.get_port();
    let place = match options.get_socket() {
        Some(directory) => format!("{}:{port}", directory.display()),
        None => format!("{}:{port}", options.get_host()),
    };
    format!("server {place}, database {}", database(options))
}

/// The database's name is the role's where none is given.
fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or_else(|| options.get_username())
}

fn is_a_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

/// Why there is no connection, and the remedy.
pub(super) fn why(options: &PgConnectOptions, error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(told) => refused(options, told.code().as_deref().unwrap_or_default(), told.message()),
        sqlx::Error::Io(error) => unheard(options, error),
        sqlx::Error::Tls(error) if error.to_string().contains("does not support TLS") => {
            "it offers no TLS, which the sslmode of the URL demands: set ssl = on at the server and give it a \
             certificate, or choose another sslmode where nobody can read along"
                .to_owned()
        }
        sqlx::Error::Tls(error) => no_trust(&error.to_string()),
        sqlx::Error::Protocol(told) if told.contains("authentication method") => {
            "it wants to know the role in a way that this program has not: allow scram-sha-256 in pg_hba.conf"
                .to_owned()
        }
        // What came instead is nobody's to read, nor that it came to nothing.
        sqlx::Error::Protocol(_) => "it does not talk as PostgreSQL does: look into its log, or correct host and port \
                                     where something else listens there"
            .to_owned(),
        error => error.to_string(),
    }
}

/// By the server's own words.
fn refused(options: &PgConnectOptions, code: &str, told: &str) -> String {
    let (role, database) = (options.get_username(), database(options));
    let remedy = match code {
        "28P01" => format!("correct the role {role} and its password in the URL"),
        "28000" => {
            format!("create the role {role} with `login` at the server and allow it in pg_hba.conf, or correct the URL")
        }
        "3D000" => format!("create it (`create database {database}`), or correct the URL"),
        "42501" => format!("let the role in (`grant connect on database {database} to {role}`), or correct the URL"),
        "53300" => "raise its max_connections, or run fewer nodes".to_owned(),
        "57P03" => "wait until it has started, and try again".to_owned(),
        // What a pooler says to session settings.
        "08P01" => "name the server itself, and no pooler before it".to_owned(),
        _ => return told.to_owned(),
    };
    format!("{told}: {remedy}")
}

/// There is no word of the server.
fn unheard(options: &PgConnectOptions, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound if !is_a_socket(options) => {
            "a file that its URL names by sslrootcert, sslcert or sslkey is not there: correct the path".to_owned()
        }
        ErrorKind::PermissionDenied => {
            format!("{error}: let this account reach its socket, or the files that its URL names")
        }
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
            "no server listens there: start it, or correct host and port".to_owned()
        }
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => {
            "it ended the conversation before it had begun: look into its log; if it is no PostgreSQL server, correct \
             host and port"
                .to_owned()
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput => no_trust(&error.to_string()),
        // The standard library has no kind for a name that nobody knows.
        _ if error.to_string().contains("lookup address") => {
            "no machine has this name: correct the host, or the name service of this machine".to_owned()
        }
        _ => format!("{error}: correct host and port, or the network between"),
    }
}

fn no_trust(told: &str) -> String {
    format!(
        "no TLS with it ({told}): name the authority that signed its certificate by sslrootcert, and by the host the \
         name that the certificate has"
    )
}

/// It was there, and said nothing.
pub(super) fn silent(seconds: u64) -> String {
    format!("it does not answer within {seconds} seconds: look whether it runs, and correct host, port or firewall")
}

/// It takes no writes.
pub(super) const IN_RECOVERY: &str =
    "it is in recovery and takes no writes: promote it, or name the server that takes writes as well";

/// It takes writes that another one will never have.
pub(super) const LEFT_BEHIND: &str =
    "another server was promoted in its place: stop it, and let it follow that one (pg_rewind, pg_basebackup)";

/// What is wrong with the version of a server, if it said one.
pub(super) fn too_old(version: Option<u32>) -> Option<String> {
    let version = version.filter(|version| *version < OLDEST)?;
    let (major, minor) = (version / 10_000, if version < 100_000 { version / 100 % 100 } else { version % 10_000 });
    Some(format!("it is PostgreSQL {major}.{minor}, which is too old: upgrade it to 14 or later"))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn options(url: &str) -> PgConnectOptions {
        PgConnectOptions::from_str(url).unwrap()
    }

    #[test]
    fn a_server_is_named_by_host_port_and_database_alone() {
        assert_eq!(name(&options("postgres://ada:s3cret@db1/site")), "server db1:5432, database site");
        assert_eq!(name(&options("postgres://ada:s3cret@[::1]:5433")), "server [::1]:5433, database ada");
        assert_eq!(name(&options("postgres://ada@%2Frun%2Fpg/site")), "server /run/pg:5432, database site");
    }

    #[test]
    fn every_refusal_has_a_remedy() {
        let options = options("postgres://ada:s3cret@db1/site");
        for code in ["28P01", "28000", "3D000", "42501", "53300", "57P03", "08P01"] {
            let told = refused(&options, code, "so it is");
            assert!(told.starts_with("so it is: "), "{told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        let of = |kind: ErrorKind| why(&options, &sqlx::Error::Io(kind.into()));
        assert!(of(ErrorKind::ConnectionRefused).contains("start it"));
        assert!(of(ErrorKind::NotFound).contains("sslrootcert"));
        assert!(of(ErrorKind::UnexpectedEof).contains("no PostgreSQL server"));
        assert!(of(ErrorKind::InvalidData).contains("sslrootcert"));
    }

    #[test]
    fn versions_from_14_on_are_taken() {
        assert_eq!(too_old(Some(140_000)), None);
        assert_eq!(too_old(None), None);
        assert!(too_old(Some(130_022)).unwrap().starts_with("it is PostgreSQL 13.22, "));
        assert!(too_old(Some(90_624)).unwrap().starts_with("it is PostgreSQL 9.6, "));
    }
}
