//! What doctor looks at among files: space, the root key, and who can read or write what.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{Finding, Severity, Site, deep, is_here, quoted, size};
use crate::{
    config::HiddenText,
    keyring,
    secrets::{RootKey, RootKeyError},
};

const DATA_DISK: &str = "disk of the data directory";

/// With less space than this, appends are about to fail.
const FULL: u64 = 64 << 20;
/// With less than this, somebody should make room.
const SCARCE: u64 = 1 << 30;

pub(super) fn look(site: &Site<'_>, findings: &mut Vec<Finding>) {
    let data_dir = &site.config.data_dir;
    let is_here = is_here(site.config);
    if is_here {
        findings.push(space(DATA_DISK, data_dir));
    }
    let key_file = RootKey::file_of(data_dir).ok();
    if site.config.root_key.is_none()
        && let Some(directory) = key_file.as_deref().and_then(Path::parent)
    {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        // One disk is told once.
        if !(is_here && is_one_disk(data_dir, directory)) {
            findings.push(space("disk of the root key", directory));
        }
    }
    root_key(site, key_file.as_deref(), findings);
    if is_here {
        permissions(data_dir, findings);
        mounted_read_only(site, findings);
    }
}

/// A data directory that this account cannot even look into.
pub(super) fn out_of_reach(data_dir: &Path) -> Option<Finding> {
    let error = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => error,
        _ => return None,
    };
    let found = format!("{}: {error}", data_dir.display());
    let remedy =
        format!("run this as the account that runs the site; if that is this one: `chmod u+rwx {}`", quoted(data_dir));
    Some(Finding::problem("data directory", found, remedy))
}

/// Whether something of a site is left where neither log nor vault are.
pub(super) fn has_remains(data_dir: &Path) -> bool {
    let models = fs::read_dir(data_dir.join("models")).is_ok_and(|mut entries| entries.next().is_some());
    models || data_dir.is_dir() && RootKey::file_of(data_dir).is_ok_and(|file| file.exists())
}

/// A site here cannot write; whoever looks at a snapshot means it to be so.
fn mounted_read_only(site: &Site<'_>, findings: &mut Vec<Finding>) {
    let data_dir = &site.config.data_dir;
    let is_read_only =
        rustix::fs::statvfs(data_dir).is_ok_and(|about| about.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if is_read_only {
        let finding = if site.running.is_some() { Finding::problem } else { Finding::warning };
        findings.push(finding(
            "mount",
            format!("{} lies on a file system that is mounted read-only", data_dir.display()),
            "look at the system's log: a disk that fails is remounted so. Mount it for writing before the site starts; a \
             snapshot can be looked at as it is",
        ));
    }
}

fn is_one_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    device(one).is_some_and(|one| device(other) == Some(one))
}

/// Whether it was told that the disk of the data is full.
pub(super) fn told_full(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Problem && finding.about == DATA_DISK)
}

fn space(about: &str, directory: &Path) -> Finding {
    let free = match rustix::fs::statvfs(directory) {
        Ok(about) => about.f_bavail.saturating_mul(about.f_frsize),
        Err(error) => {
            let found = format!("{}: {error}", directory.display());
            return Finding::problem(about, found, "run this as the account that runs the site");
        }
    };
    let found = format!("{} free at {}", size(free), directory.display());
    let remedy = "free space on that file system, or move the site to a larger one; an append that finds no space is \
                  refused, nothing that was answered is lost, and once there is room the next append goes through";
    match free {
        ..FULL => Finding::problem(about, found, remedy),
        FULL..SCARCE => Finding::warning(about, found, remedy),
        SCARCE.. => Finding::ok(about, found),
    }
}

fn root_key(site: &Site<'_>, file: Option<&Path>, findings: &mut Vec<Finding>) {
    const ABOUT: &str = "root key";
    let config = site.config;
    let from_env = config.root_key.as_ref().map(HiddenText::expose);
    // With data there, none is made.
    let root = match RootKey::load_or_create(&config.data_dir, true, from_env, [0; 32]) {
        Ok(root) => root,
        Err(error) => return findings.push(without_key(&error)),
    };
    let place = match (from_env, file) {
        (Some(_), _) => "from COUNTERSIGN_ROOT_KEY".to_owned(),
        (None, file) => file.map(|file| file.display().to_string()).unwrap_or_default(),
    };
    match &site.facts.site_key {
        Some((id, wrapped)) if !keyring::opens(&root, *id, wrapped) => findings.push(Finding::problem(
            ABOUT,
            format!("the key {place} is not the one that this site's vault was made with"),
            match (from_env, file) {
                (None, Some(file)) => format!(
                    "put {} back as it belongs to this data, from your backup; when the vault is the one of another site, \
                     {}. Delete nothing meanwhile",
                    quoted(file),
                    deep::restore_vault(config)
                ),
                _ => "set COUNTERSIGN_ROOT_KEY to the key that belongs to this data, from your backup, or put the right \
                      vault back; delete nothing meanwhile"
                    .to_owned(),
            },
        )),
        Some(_) => findings.push(Finding::ok(ABOUT, format!("{place}, opens the vault"))),
        None => findings.push(Finding::ok(ABOUT, format!("{place}; the vault has no key of the site to try it on"))),
    }
    let inside = || Some(file?.canonicalize().ok()?.starts_with(config.data_dir.canonicalize().ok()?));
    if from_env.is_none() && inside() == Some(true) {
        findings.push(Finding::problem(
            "place of the root key",
            "the key file lies inside the data directory: whoever has a copy of that directory can open everything",
            match file {
                Some(file) => {
                    let (file, within) = (quoted(file), file.canonicalize().unwrap_or_else(|_| file.to_owned()));
                    format!("`mv {} {file}`", quoted(&within))
                }
                None => "move it out".to_owned(),
            },
        ));
    }
}

fn without_key(error: &RootKeyError) -> Finding {
    let remedy = match error {
        RootKeyError::TooOpen { path, .. } => {
            format!("`chmod 600 {}`; if others may have read it, treat sessions and messages as read", quoted(path))
        }
        RootKeyError::Missing(path) => {
            format!(
                "put {} back from your backup, mode 600, or set COUNTERSIGN_ROOT_KEY; a new key opens nothing",
                quoted(path)
            )
        }
        RootKeyError::Untrusted(_) => {
            "do what it says, and see that only the account that runs the site can change the \
                                       directory that the key lies in"
                .to_owned()
        }
        RootKeyError::Directory(path) => {
            let (path, mut aside) = (quoted(path), path.clone().into_os_string());
            aside.push(".moved");
            format!("`mv {path} {}`; then put the newest copy of {path} back, mode 600", quoted(Path::new(&aside)))
        }
        RootKeyError::MalformedFile(path) => format!("put {} back from your backup", quoted(path)),
        RootKeyError::MalformedVariable => "set COUNTERSIGN_ROOT_KEY to the key as it was backed up".to_owned(),
        RootKeyError::Nameless(_) => "name the data directory by its path with --data-dir".to_owned(),
        RootKeyError::Io { path, .. } => {
            format!(
                "run this as the account that runs the site; if that is this one: `chmod 600 {}`, and see that it can enter \
                 the directory",
                quoted(path)
            )
        }
    };
    Finding::problem("root key", error.to_string(), remedy)
}

fn permissions(data_dir: &Path, findings: &mut Vec<Finding>) {
    const ABOUT: &str = "permissions";
    let before = findings.len();
    let owner = match fs::metadata(data_dir) {
        Ok(about) => about.uid(),
        Err(error) => {
            let found = format!("{}: {error}", data_dir.display());
            return findings.push(Finding::problem(ABOUT, found, "run this as the account that runs the site"));
        }
    };
    let files = below(data_dir);
    let mut strangers = vec![];
    for file in std::iter::once(data_dir).chain(files.iter().map(PathBuf::as_path)) {
        // What was there a moment ago and is gone needs no judging.
        let Ok(about) = fs::symlink_metadata(file) else { continue };
        if about.uid() != owner {
            strangers.push(quoted(file));
        }
        let mode = about.permissions().mode() & 0o777;
        if about.is_symlink() {
            continue;
        }
        let (wants, rights) = if about.is_dir() { (0o700, "u+rwx") } else { (0o600, "u+rw") };
        // The socket and the lock are made anew.
        if mode & wants != wants && (about.is_dir() || file.extension().is_some_and(|of| of != "sock")) {
            let found = format!("{} cannot be read and written by its owner (mode {mode:04o})", file.display());
            findings.push(Finding::problem(ABOUT, found, format!("`chmod {rights} {}`", quoted(file))));
        }
        if mode.trailing_zeros() >= 6 {
            continue;
        }
        let wanted = if about.is_dir() { "700" } else { "600" };
        let found = format!("{} is open to other users (mode {mode:04o})", file.display());
        // Below a directory that only its owner can enter, nobody reaches an open file.
        let finding = if file == data_dir { Finding::problem } else { Finding::warning };
        findings.push(finding(ABOUT, found, format!("`chmod {wanted} {}`", quoted(file))));
    }
    if !strangers.is_empty() {
        let dir = data_dir.display();
        let found = format!(
            "{} belong to another account than {dir}: the site may be unable to write them",
            strangers.join(", ")
        );
        let remedy = format!(
            "stop the site; `chown -R --reference={0} {0}`; then run commands as that account",
            quoted(data_dir)
        );
        findings.push(Finding::problem(ABOUT, found, remedy));
    }
    if findings.len() == before {
        findings.push(Finding::ok(
            ABOUT,
            format!("{} and {} files in it are their owner's alone", data_dir.display(), files.len()),
        ));
    }
}

/// Files and directories in a directory and in those below it.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}
