//! Reads database URLs. What cannot be read is never repeated: a mistake may have put the password anywhere.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use url::Url;

/// What is wrong with a setting that names servers; completes "`database_url` …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a URL such as postgres://user@host/name, or several, separated by commas: {} {mistake}",
    which(*number, *of)
)]
pub struct MalformedUrls {
    /// Which of them it is, from 1.
    number: usize,
    of: usize,
    mistake: Mistake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Mistake {
    #[error("is empty")]
    Empty,
    #[error("does not begin with postgres:// or postgresql://")]
    Scheme,
    #[error(
        "cannot be read: the port is a number, and in user name and password all but letters and digits are written as % \
         and two hexadecimal digits (a comma as %2C, @ as %40)"
    )]
    Unreadable,
    #[error("has an sslmode that does not exist: it is disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    #[error(
        "has a parameter that is not known; known are sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, \
         dbname, user, password, application_name and options"
    )]
    Parameter,
    #[error("has one of sslcert and sslkey: they go together")]
    HalfACertificate,
}

fn which(number: usize, of: usize) -> String {
    if of == 1 { "it".to_owned() } else { format!("the {number}. of them") }
}

/// The options of each server.
pub(super) fn read(urls: &str) -> Result<Vec<PgConnectOptions>, MalformedUrls> {
    let of = urls.split(',').count();
    let one = |(number, url)| read_one(url).map_err(|mistake| MalformedUrls { number, of, mistake });
    (1..).zip(urls.split(',').map(str::trim)).map(one).collect()
}

fn read_one(text: &str) -> Result<PgConnectOptions, Mistake> {
    const PARAMETERS: [&str; 12] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
    ];
    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    if text.is_empty() {
        return Err(Mistake::Empty);
    }
    if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(Mistake::Scheme);
    }
    let url = Url::parse(text).map_err(|_| Mistake::Unreadable)?;
    // What follows a `#` would be left out in silence: most likely it was meant for the password.
    if url.fragment().is_some() {
        return Err(Mistake::Unreadable);
    }
    for (key, value) in url.query_pairs() {
        // What nobody knows is refused, so that a mistyped `sslmode` does not turn encryption off.
        if !PARAMETERS.contains(&&*key) {
            return Err(Mistake::Parameter);
        }
        if key == "sslmode" && !MODES.contains(&&*value) {
            return Err(Mistake::SslMode);
        }
    }
    let has = |key| url.query_pairs().any(|(known, _)| known == key);
    if has("sslcert") != has("sslkey") {
        return Err(Mistake::HalfACertificate);
    }
    PgConnectOptions::from_str(text).map_err(|_| Mistake::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(urls: &str) -> (usize, Mistake) {
        let MalformedUrls { number, mistake, .. } = read(urls).unwrap_err();
        (number, mistake)
    }

    #[test]
    fn one_server_or_several_are_read() {
        let server = |options: &PgConnectOptions| (options.get_host().to_owned(), options.get_port());
        let read = read("postgres://ada@db1/site, postgresql://ada:p%2Cw@[::1]:5433/site?sslmode=require").unwrap();
        let servers: Vec<_> = read.iter().map(server).collect();
        assert_eq!(servers, [("db1".to_owned(), 5432), ("[::1]".to_owned(), 5433)]);
        for fine in ["postgres:///site", "postgres://ada@%2Frun%2Fpostgresql/site", "postgres://db1?user=ada&dbname=x"]
        {
            super::read(fine).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_place_and_without_the_text() {
        let cases = [
            ("mysql://ada:s3cret@db1/site", 1, Mistake::Scheme),
            ("ada:s3cret@db1/site", 1, Mistake::Scheme),
            ("postgres:/ada:s3cret@db1/site", 1, Mistake::Scheme),
            ("postgres://db1/site,", 2, Mistake::Empty),
            ("postgres://db1/site, ,postgres://db2/site", 2, Mistake::Empty),
            ("postgres://ada:s3cret,x@db1/site", 1, Mistake::Unreadable),
            ("postgres://ada:12,s3cret@db1/site", 2, Mistake::Scheme),
            ("postgres://ada:12#s3cret@db1/site", 1, Mistake::Unreadable),
            ("postgres://ada:12?s3cret@db1/site", 1, Mistake::Parameter),
            ("postgres://ada:s3cret@db1:port/site", 1, Mistake::Unreadable),
            ("postgres://ada:s3cret@db1:99999/site", 1, Mistake::Unreadable),
            ("postgres://:5432/site", 1, Mistake::Unreadable),
            ("postgres://db1/site?port=s3cret", 1, Mistake::Unreadable),
            ("postgres://db1/site,postgres://db2/site?sslmode=s3cret", 2, Mistake::SslMode),
            ("postgres://db1/site?ssl_mode=verify-full", 1, Mistake::Parameter),
            ("postgres://db1/site?sslcert=/s3cret.pem", 1, Mistake::HalfACertificate),
        ];
        for (urls, number, expected) in cases {
            assert_eq!(mistake(urls), (number, expected), "{urls}");
            let told = read(urls).unwrap_err().to_string();
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn only_one_of_several_has_a_number() {
        let told = |urls| read(urls).unwrap_err().to_string();
        assert!(told("x").ends_with("by commas: it does not begin with postgres:// or postgresql://"));
        assert!(told("postgres://db1/x,y").contains("by commas: the 2. of them does not begin"));
    }
}
