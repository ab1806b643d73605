//! The applications of the story: one at least in every state that a reviewer can meet.

use countersign_events::redirect_uri::Purpose;

use super::teller::{Act, Deed, ago};
use crate::app::{applications::Request, reviews::Verb};

/// What an owner types.
struct Sketch {
    key: &'static str,
    by: &'static str,
    purpose: Purpose,
    name: &'static str,
    description: &'static str,
    redirect_uri: &'static str,
    scopes: &'static [&'static str],
}

const fn sketch(
    (key, by, purpose): (&'static str, &'static str, Purpose),
    name: &'static str,
    description: &'static str,
    redirect_uri: &'static str,
    scopes: &'static [&'static str],
) -> Sketch {
    Sketch { key, by, purpose, name, description, redirect_uri, scopes }
}

const READS: &[&str] = &["read"];
const KNOWS: &[&str] = &["read", "identity"];
const HEARS: &[&str] = &["read", "identity", "notifications"];
const WRITES: &[&str] = &["read", "identity", "write"];

const SKETCHES: [(i64, Sketch); 17] = [
    (
        ago(32, 4, 0),
        sketch(
            ("digest", "cleo", Purpose::Web),
            "Front Page Digest",
            "Mails you the ten best posts of the week.",
            "https://digest.example/callback",
            READS,
        ),
    ),
    (
        ago(30, 2, 0),
        sketch(
            ("backup", "cleo", Purpose::Personal),
            "Nightly backup",
            "Keeps a copy of my own posts, and says so once a week.",
            "",
            WRITES,
        ),
    ),
    (
        ago(29, 6, 0),
        sketch(
            ("pocket", "dara", Purpose::Native),
            "Pocket Reader",
            "Reads the board on a telephone, also without a network.",
            "org.pocketreader.app:/callback",
            HEARS,
        ),
    ),
    (
        ago(28, 3, 0),
        sketch(
            ("mirror", "hana", Purpose::Web),
            "Image Mirror",
            "Shows the pictures behind links in one gallery.",
            "https://mirror.example/back",
            KNOWS,
        ),
    ),
    (
        ago(27, 5, 0),
        sketch(("feeds", "joe", Purpose::Personal), "Feed bridge", "Turns my inbox into a feed.", "", HEARS),
    ),
    (
        ago(26, 1, 0),
        sketch(
            ("scraper", "ivan", Purpose::Web),
            "Profile Lens",
            "Shows what members write about.",
            "https://lens.example/cb",
            KNOWS,
        ),
    ),
    (
        ago(24, 7, 0),
        sketch(
            ("bridge", "joe", Purpose::Web),
            "Chat Bridge",
            "Announces new posts in a chat room.",
            "https://bridge.example/oauth",
            HEARS,
        ),
    ),
    (
        ago(20, 2, 0),
        sketch(
            ("widget", "ivan", Purpose::Web),
            "Front page widget",
            "Puts the front page on your own site.",
            "https://widget.example/cb",
            READS,
        ),
    ),
    (
        ago(12, 3, 0),
        sketch(
            ("counter", "finn", Purpose::Web),
            "Vote Counter",
            "Votes for your friends while you sleep.",
            "https://votes.example/cb",
            &["read", "identity", "vote"],
        ),
    ),
    (
        ago(9, 5, 0),
        sketch(("archive", "dara", Purpose::Web), "Archive Search", "Search.", "https://archive.example/cb", READS),
    ),
    (
        ago(8, 2, 0),
        sketch(
            ("booster", "gus", Purpose::Web),
            "Karma Garden",
            "Shows how the score of your posts grows.",
            "https://garden.example/cb",
            KNOWS,
        ),
    ),
    (
        ago(6, 1, 30),
        sketch(
            ("stats", "finn", Purpose::Web),
            "Weekly Statistics",
            "Draws how many posts and comments a week had.",
            "https://stats.example/cb",
            READS,
        ),
    ),
    (ago(4, 6, 0), sketch(("autopost", "ben", Purpose::Personal), "Autopost", "Posts things.", "", WRITES)),
    (
        ago(2, 5, 0),
        sketch(
            ("translator", "gus", Purpose::Web),
            "Translator",
            "Translates posts into the language you read best.",
            "https://translate.example/cb",
            WRITES,
        ),
    ),
    (
        ago(1, 20, 0),
        sketch(
            ("quiz", "ben", Purpose::Personal),
            "Quiz bot",
            "Asks a question about last week's posts every Monday.",
            "",
            WRITES,
        ),
    ),
    (
        ago(1, 3, 0),
        sketch(
            ("moodboard", "hana", Purpose::Web),
            "Moodboard",
            "Collects the posts that you vote for.",
            "https://mood.example/cb",
            KNOWS,
        ),
    ),
    (
        ago(0, 2, 10),
        sketch(
            ("lens", "ben", Purpose::Web),
            "Comment Lens",
            "Shows long comment trees side by side.",
            "https://comments.example/cb",
            READS,
        ),
    ),
];

impl Sketch {
    fn ask(self, minutes_ago: i64) -> Act {
        let request = Request {
            purpose: self.purpose.to_string(),
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            website: String::new(),
            redirect_uri: self.redirect_uri.to_owned(),
            scopes: self.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        Act { minutes_ago, deed: Deed::Ask { key: self.key, by: self.by, request } }
    }
}

const fn act(minutes_ago: i64, deed: Deed) -> Act {
    Act { minutes_ago, deed }
}

const fn decide(
    minutes_ago: i64,
    key: &'static str,
    by: &'static str,
    verb: Verb,
    (reason_code, reason): (&'static str, &'static str),
) -> Act {
    act(minutes_ago, Deed::Decide { key, by, verb, reason_code, reason })
}

/// One reviewer signs, another decides three hours later.
fn approve(minutes_ago: i64, key: &'static str, reviewers: [&'static str; 2], reason: &'static str) -> [Act; 2] {
    let [first, second] = reviewers;
    [
        decide(minutes_ago + 180, key, first, Verb::Approve, ("", "")),
        decide(minutes_ago, key, second, Verb::Approve, ("meets_policy", reason)),
    ]
}

fn consents(minutes_ago: i64, key: &'static str, members: &[&'static str]) -> Vec<Act> {
    let agree =
        |(index, by): (i64, &&'static str)| act(minutes_ago - index * 1_730, Deed::Consent { key, by, agrees: true });
    (0..).zip(members).map(agree).collect()
}

pub(super) fn acts() -> Vec<Act> {
    let mut acts: Vec<Act> = SKETCHES.into_iter().map(|(minutes_ago, sketch)| sketch.ask(minutes_ago)).collect();
    acts.extend(approvals());
    acts.extend(lives());
    acts.extend(decisions());
    acts.extend(queue());
    acts
}

fn approvals() -> Vec<Act> {
    const EITHER: [[&str; 2]; 2] = [["rob", "mia"], ["mia", "rob"]];
    let [rob_first, mia_first] = EITHER;
    [
        approve(ago(31, 2, 0), "digest", rob_first, "Clear, small, and asks for no more than it needs. Welcome."),
        approve(ago(29, 1, 0), "backup", mia_first, ""),
        approve(ago(28, 1, 0), "pocket", rob_first, "A native application done well."),
        approve(ago(26, 22, 0), "mirror", mia_first, ""),
        approve(ago(25, 20, 0), "feeds", rob_first, ""),
        approve(ago(24, 23, 0), "scraper", mia_first, ""),
        approve(ago(22, 6, 0), "bridge", rob_first, ""),
        approve(ago(18, 9, 0), "widget", mia_first, ""),
        approve(ago(0, 5, 0), "quiz", rob_first, "Please keep it to one question a week."),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What becomes of approved applications.
fn lives() -> Vec<Act> {
    let mut acts = vec![
        act(ago(30, 20, 0), Deed::Reveal { key: "digest" }),
        act(ago(28, 22, 0), Deed::Reveal { key: "backup" }),
        act(ago(27, 8, 0), Deed::Reveal { key: "pocket" }),
        act(ago(26, 20, 0), Deed::Reveal { key: "mirror" }),
        act(ago(24, 20, 0), Deed::Reveal { key: "scraper" }),
        act(ago(22, 1, 0), Deed::Reveal { key: "bridge" }),
        act(ago(18, 2, 0), Deed::Reveal { key: "widget" }),
        // Nobody reveals the token of the feed bridge: it ends after a week.
        act(ago(18, 19, 0), Deed::KeepHouse),
        act(ago(12, 1, 0), Deed::RegenerateToken { key: "backup" }),
        act(ago(16, 4, 0), Deed::Consent { key: "bridge", by: "gus", agrees: false }),
        act(ago(10, 6, 0), Deed::Rescind { key: "digest", by: "finn" }),
        act(ago(7, 3, 0), Deed::RevokeToken { key: "pocket", by: "gus" }),
        act(ago(6, 2, 0), Deed::RotateClientId { key: "bridge" }),
        act(ago(15, 2, 0), Deed::Withdraw { key: "widget" }),
        // A change that was decided, one that was taken back, and one that waits.
        act(
            ago(21, 3, 0),
            Deed::Edit { key: "digest", change: |request| request.scopes.push("notifications".to_owned()) },
        ),
        decide(ago(20, 8, 0), "digest", "rob", Verb::ApproveChange, ("", "")),
        decide(ago(20, 1, 0), "digest", "mia", Verb::ApproveChange, ("meets_policy", "")),
        act(
            ago(11, 3, 0),
            Deed::Edit { key: "bridge", change: |request| "Chat Bridge Pro".clone_into(&mut request.name) },
        ),
        act(ago(11, 1, 0), Deed::WithdrawChange { key: "bridge" }),
        act(
            ago(0, 20, 0),
            Deed::Edit {
                key: "pocket",
                change: |request| {
                    request.scopes.push("vote".to_owned());
                    request.redirect_uri.push_str("\norg.pocketreader.tablet:/callback");
                },
            },
        ),
    ];
    acts.extend(consents(ago(29, 10, 0), "digest", &["ben", "finn", "gus", "hana", "olga", "otto"]));
    acts.extend(consents(ago(26, 2, 0), "pocket", &["gus", "ben", "joe", "rob"]));
    acts.extend(consents(ago(24, 9, 0), "mirror", &["ben", "finn", "dara"]));
    acts.extend(consents(ago(23, 9, 0), "scraper", &["ben", "gus"]));
    acts.extend(consents(ago(15, 9, 0), "bridge", &["hana", "cleo"]));
    acts
}

/// Decisions that take something away, and what their owners say to them.
fn decisions() -> Vec<Act> {
    vec![
        decide(
            ago(17, 2, 0),
            "scraper",
            "rob",
            Verb::Suspend,
            ("security", "It publishes what members write under their names, without asking them."),
        ),
        decide(
            ago(14, 2, 0),
            "scraper",
            "mia",
            Verb::Revoke,
            ("abuse", "It went on from another address while it was suspended."),
        ),
        decide(
            ago(2, 8, 0),
            "mirror",
            "mia",
            Verb::Suspend,
            ("security", "Its certificate has expired. We reinstate it as soon as that is mended."),
        ),
        decide(
            ago(11, 5, 0),
            "counter",
            "mia",
            Verb::Deny,
            ("forbidden_use", "Votes are cast by people who have read what they vote on."),
        ),
        decide(
            ago(7, 1, 0),
            "booster",
            "rob",
            Verb::Deny,
            ("misleading", "The description leaves open what it does with the votes that it sees."),
        ),
        act(
            ago(1, 2, 0),
            Deed::Appeal {
                key: "booster",
                text: "It draws a curve from the scores that everybody can see. It reads no votes, and has no scope for them.",
            },
        ),
        decide(
            ago(8, 3, 0),
            "archive",
            "mia",
            Verb::RequestChanges,
            ("incomplete", "Please say what is kept, for how long, and where the search can be tried."),
        ),
        act(
            ago(1, 6, 0),
            Deed::Resubmit {
                key: "archive",
                change: |request| {
                    "Searches titles and bodies of posts. Keeps an index, made anew every night; comments are left out."
                        .clone_into(&mut request.description);
                    "https://archive.example/about".clone_into(&mut request.website);
                },
            },
        ),
        decide(ago(3, 1, 0), "autopost", "rob", Verb::RequestChanges, ("incomplete", "Which things, and how often?")),
    ]
}

/// What waits now, and inboxes that were read.
fn queue() -> Vec<Act> {
    let mut acts = vec![
        decide(ago(0, 3, 30), "translator", "rob", Verb::Approve, ("", "")),
        decide(ago(0, 0, 8), "moodboard", "rob", Verb::Claim, ("", "")),
        act(
            ago(0, 1, 5),
            Deed::Edit {
                key: "lens",
                change: |request| {
                    "Shows long comment trees side by side, and remembers where you stopped."
                        .clone_into(&mut request.description);
                    request.scopes.push("identity".to_owned());
                },
            },
        ),
    ];
    let readers = ["cleo", "dara", "finn", "gus", "hana", "ivan", "joe", "ben"];
    acts.extend((0..).zip(readers).map(|(index, by)| act(ago(3, 2, 0) - index * 7, Deed::ReadInbox { by })));
    acts
}
