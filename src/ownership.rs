//! Whose a file or socket is, and whether it may be trusted: root follows nobody else into their directory, and nobody
//! follows a link to a file that matters. What is done about it is for others to say.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{Access, OFlags, access},
    io::Errno,
    process::geteuid,
};

/// Why a file is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Root would work on what somebody else can change under it.
    #[error(
        "{path} belongs to {owner}, and this runs as root: run it as that account (`sudo -u {owner} …`), or give it to root \
         (`chown -R root {path}`)"
    )]
    Owner {
        /// What.
        path: String,
        /// The account that it belongs to.
        owner: String,
    },
    /// It leads elsewhere.
    #[error(
        "{path} is a symbolic link, made by {owner}, and is not followed: put the file itself there, or remove the link \
         (`rm {path}`)"
    )]
    Link {
        /// What.
        path: String,
        /// The account that the link belongs to.
        owner: String,
    },
    /// It has another name elsewhere, or is no file.
    #[error(
        "{path} belongs to {owner} and is no plain file with one name: look at what it is, and remove it (`rm {path}`)"
    )]
    NotPlain {
        /// What.
        path: String,
        /// The account that it belongs to.
        owner: String,
    },
    /// What lies in the place of a socket is something else.
    #[error("{path} belongs to {owner} and is no socket: look at what it is, and remove it (`rm {path}`)")]
    NoSocket {
        /// What.
        path: String,
        /// The account that it belongs to.
        owner: String,
    },
    /// Somebody else listens.
    #[error(
        "{owner} listens at {path}, and this runs as {caller}: nothing was sent. Run it as the account that runs the site; if \
         that is {owner}, `sudo -u {owner} …`"
    )]
    Listener {
        /// The socket.
        path: String,
        /// The account that listens.
        owner: String,
        /// The account that would have sent something.
        caller: String,
    },
}

impl From<Untrusted> for io::Error {
    fn from(untrusted: Untrusted) -> Self {
        Self::other(untrusted)
    }
}

/// Refuses what somebody else owns, where this process is root and could write there: whoever owns it can put links in the
/// way.
///
/// # Errors
/// [`Untrusted::Owner`].
pub fn refuse_others_as_root(path: &Path) -> Result<(), Untrusted> {
    match fs::metadata(path) {
        Ok(about) => refuse_owner_as_root(path, &about),
        // What is not there belongs to nobody.
        Err(_) => Ok(()),
    }
}

fn refuse_owner_as_root(path: &Path, about: &Metadata) -> Result<(), Untrusted> {
    let is_writable = || access(path, Access::WRITE_OK).is_ok();
    if geteuid().is_root() && about.uid() != 0 && is_writable() {
        return Err(Untrusted::Owner { path: shown(path), owner: account_of(about.uid()) });
    }
    Ok(())
}

/// Opens a file that matters, without following a link. Its owner may be looked at then.
///
/// # Errors
/// [`Untrusted`] inside of the error, or whatever the system says.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A pipe in its place would be waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = options.custom_flags(flags).open(path).map_err(|error| {
        let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        let about = fs::symlink_metadata(path).ok().filter(|about| is_link && about.is_symlink());
        about.map_or(error, |about| Untrusted::Link { path: shown(path), owner: account_of(about.uid()) }.into())
    })?;
    let about = file.metadata()?;
    refuse_owner_as_root(path, &about)?;
    if !about.is_file() || about.nlink() > 1 {
        return Err(Untrusted::NotPlain { path: shown(path), owner: account_of(about.uid()) }.into());
    }
    Ok(file)
}

/// Refuses what is no socket, where one should be.
///
/// # Errors
/// [`Untrusted`] inside of the error, or whatever the system says.
pub fn must_be_socket(path: &Path) -> io::Result<()> {
    let about = fs::symlink_metadata(path)?;
    let (path, owner) = (shown(path), account_of(about.uid()));
    if about.is_symlink() {
        return Err(Untrusted::Link { path, owner }.into());
    }
    if about.file_type().is_socket() { Ok(()) } else { Err(Untrusted::NoSocket { path, owner }.into()) }
}

/// Refuses a listener that is neither this account nor root.
///
/// # Errors
/// [`Untrusted::Listener`].
pub fn must_be_ours(path: &Path, listener: u32) -> Result<(), Untrusted> {
    let caller = geteuid().as_raw();
    if listener == caller || listener == 0 {
        return Ok(());
    }
    Err(Untrusted::Listener { path: shown(path), owner: account_of(listener), caller: account_of(caller) })
}

/// An account of the operating system by its number: its name, where it has one.
#[must_use]
pub fn account_of(uid: u32) -> String {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = uid.to_string();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid-{uid}"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{chown, symlink},
        net::UnixListener,
    };

    use super::*;

    fn said(result: io::Result<File>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_file_that_matters_is_a_plain_one_with_one_name() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("lock");
        let target = above.path().join("target");
        fs::write(&target, "theirs").unwrap();
        let open_for_writing = || open(&path, OpenOptions::new().write(true).create(true));
        symlink(&target, &path).unwrap();
        assert!(said(open_for_writing()).contains("is a symbolic link, made by"), "{}", said(open_for_writing()));
        fs::remove_file(&path).unwrap();
        symlink(above.path().join("not yet"), &path).unwrap();
        assert!(said(open_for_writing()).contains("is a symbolic link"));
        assert!(!above.path().join("not yet").exists(), "nothing is made behind a link");
        fs::remove_file(&path).unwrap();
        fs::hard_link(&target, &path).unwrap();
        assert!(said(open_for_writing()).contains("no plain file with one name"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!said(open(&path, OpenOptions::new().read(true))).is_empty());
        fs::remove_dir(&path).unwrap();
        open_for_writing().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
    }

    #[test]
    fn root_does_not_work_on_what_somebody_else_owns() {
        if !geteuid().is_root() {
            return;
        }
        let above = tempfile::tempdir().unwrap();
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        refuse_others_as_root(above.path()).unwrap();
        open(&file, OpenOptions::new().read(true)).unwrap();
        for path in [above.path(), file.as_path()] {
            chown(path, Some(65_534), None).unwrap();
            let told = refuse_others_as_root(path).unwrap_err().to_string();
            let owner = account_of(65_534);
            assert!(told.contains(&owner) && told.contains(&shown(path)) && told.contains("sudo -u"), "{told}");
        }
        assert!(said(open(&file, OpenOptions::new().read(true))).contains("sudo -u"));
        refuse_others_as_root(&above.path().join("nothing")).unwrap();
    }

    #[test]
    fn a_socket_is_itself_and_its_listener_ours() {
        let above = tempfile::tempdir().unwrap();
        let [socket, link, file] = ["socket", "link", "file"].map(|name| above.path().join(name));
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink(&socket, &link).unwrap();
        fs::write(&file, "").unwrap();
        must_be_socket(&socket).unwrap();
        assert!(must_be_socket(&link).unwrap_err().to_string().contains("symbolic link"));
        assert!(must_be_socket(&file).unwrap_err().to_string().contains("no socket"));
        assert_eq!(must_be_socket(&above.path().join("no")).unwrap_err().kind(), io::ErrorKind::NotFound);
        must_be_ours(&socket, geteuid().as_raw()).unwrap();
        must_be_ours(&socket, 0).unwrap();
        let told = must_be_ours(&socket, 64_999).unwrap_err().to_string();
        assert!(told.contains("uid-64999 listens at") && told.contains("nothing was sent"), "{told}");
    }
}
