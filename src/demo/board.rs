//! The board of the story: posts, comments under them, votes.

use countersign_events::post::Direction;

use super::{
    CAST,
    teller::{Act, Deed, ago},
};

/// A post, with how many vote for it and against it.
struct Sketch {
    minutes_ago: i64,
    key: &'static str,
    by: &'static str,
    title: &'static str,
    url: &'static str,
    body: &'static str,
    votes: (usize, usize),
}

const fn post(
    (minutes_ago, key, by): (i64, &'static str, &'static str),
    title: &'static str,
    url: &'static str,
    body: &'static str,
    votes: (usize, usize),
) -> Sketch {
    Sketch { minutes_ago, key, by, title, url, body, votes }
}

const POSTS: [Sketch; 14] = [
    post(
        (ago(33, 6, 0), "welcome", "ada"),
        "Welcome, and the rules of this board",
        "",
        "Be kind. Say where you have things from. **Applications** are reviewed by people: see [the guide](/api).",
        (11, 0),
    ),
    post(
        (ago(31, 3, 0), "garden", "finn"),
        "What grows on a balcony that faces north?",
        "",
        "Two hours of sun in June, none in winter. Herbs have given up on me.",
        (6, 1),
    ),
    post(
        (ago(28, 9, 0), "sqlite", "cleo"),
        "SQLite does not do checkpoints",
        "https://sqlite.org/wal.html",
        "It does, of course: this is about when it cannot.",
        (8, 2),
    ),
    post(
        (ago(25, 4, 0), "bread", "joe"),
        "Rye bread without a machine, in four steps",
        "",
        "1. Feed the sourdough in the evening.\n2. Mix with flour, water and salt.\n3. Wait for six hours.\n4. Bake, hot at first.",
        (9, 0),
    ),
    post(
        (ago(21, 7, 0), "trains", "hana"),
        "Night trains are back on the northern line",
        "https://trains.example/night",
        "",
        (7, 1),
    ),
    post(
        (ago(18, 2, 0), "bicycle", "gus"),
        "A bicycle lock that opened by itself",
        "",
        "In the rain, twice. Has anybody seen this?",
        (5, 0),
    ),
    post((ago(15, 5, 0), "quiet", "ivan"), "Is it me, or has it become quiet here?", "", "", (2, 6)),
    post(
        (ago(12, 4, 0), "backup-report", "cleo"),
        "14 of my posts are safe",
        "",
        "This was posted by my backup bot. Its report comes once a week.",
        (3, 2),
    ),
    post(
        (ago(9, 8, 0), "stars", "dara"),
        "The Perseids from a roof, with a telephone",
        "https://stars.example/perseids",
        "Thirty seconds, a stone to hold the telephone, and patience.",
        (10, 0),
    ),
    post(
        (ago(6, 3, 0), "soup", "ben"),
        "Soup for twelve, one pot",
        "",
        "Lentils, carrots, a lemon at the end. What would you add?",
        (6, 0),
    ),
    post(
        (ago(4, 2, 0), "reviews", "mia"),
        "How we review applications, and how long it takes",
        "",
        "Within three days, by two of us. What was denied can be appealed against, once, and somebody else decides.",
        (8, 1),
    ),
    post(
        (ago(2, 6, 0), "keyboard", "otto"),
        "Keyboards: what do you write on?",
        "",
        "Mine is from 1991 and louder than I am.",
        (4, 3),
    ),
    post((ago(0, 22, 0), "snow", "olga"), "First snow on the pass", "https://pass.example/webcam", "", (5, 0)),
    post(
        (ago(0, 4, 0), "tea", "hana"),
        "Tea that is still warm after an hour",
        "",
        "A pot, a cosy, and no more to it.",
        (2, 0),
    ),
];

/// A comment: how long after its post in minutes, its key, its parent's, who, what.
type Comment = (i64, &'static str, Option<&'static str>, &'static str, &'static str);

const COMMENTS: [(&str, &[Comment]); 9] = [
    (
        "welcome",
        &[
            (40, "w1", None, "ben", "Good to be here!"),
            (75, "w2", Some("w1"), "ada", "Good to have you, @ben."),
            (300, "w3", None, "cleo", "The guide is short and the examples run. Thank you."),
        ],
    ),
    (
        "garden",
        &[
            (55, "g1", None, "hana", "Mint. You will not get rid of it."),
            (90, "g2", Some("g1"), "finn", "That sounds like a threat."),
            (130, "g3", Some("g2"), "hana", "It is one."),
            (400, "g4", None, "joe", "Ferns, ivy, and a chair."),
        ],
    ),
    (
        "sqlite",
        &[
            (30, "s1", None, "dara", "A reader that stays open keeps the log growing. We had nine gigabytes."),
            (65, "s2", Some("s1"), "cleo", "Nine! @gus, you owe me a coffee."),
            (120, "s3", Some("s2"), "gus", "I said *up to* nine."),
        ],
    ),
    (
        "bread",
        &[
            (200, "b1", None, "ben", "Step three in a cold kitchen: twelve hours."),
            (260, "b2", Some("b1"), "joe", "Yes. It tells you when it is done."),
        ],
    ),
    ("bicycle", &[(45, "k1", None, "finn", "Graphite, not oil."), (60, "k2", Some("k1"), "gus", "It was oil.")]),
    (
        "quiet",
        &[
            (20, "q1", None, "olga", "It is August."),
            (35, "q2", Some("q1"), "ivan", "It is not August."),
            (50, "q3", Some("q2"), "otto", "It is always August somewhere."),
        ],
    ),
    (
        "soup",
        &[
            (70, "p1", None, "dara", "Cumin, before anything else."),
            (95, "p2", Some("p1"), "ben", "Before the onions?"),
            (3_900, "p3", Some("p2"), "dara", "With them, @ben."),
            (4_400, "p4", None, "joe", "Half an apple. Do not tell anybody, @ben."),
        ],
    ),
    (
        "reviews",
        &[
            (150, "r1", None, "finn", "My request has been there for longer than three days."),
            (3_000, "r2", Some("r1"), "rob", "You are right, @finn. It is next."),
        ],
    ),
    (
        "snow",
        &[(100, "n1", None, "ben", "Chains or no chains?"), (140, "n2", Some("n1"), "olga", "Chains, from Friday on.")],
    ),
];

pub(super) fn acts() -> Vec<Act> {
    let mut acts = vec![];
    for (index, sketch) in POSTS.into_iter().enumerate() {
        let Sketch { minutes_ago, key, by, title, url, body, votes } = sketch;
        // The backup bot tells of itself.
        let through = (key == "backup-report").then_some("backup");
        acts.push(Act { minutes_ago, deed: Deed::Post { key, by, through, title, url, body } });
        acts.extend(ballots(index, key, by, minutes_ago, votes));
    }
    for (post, comments) in COMMENTS {
        let posted = POSTS.iter().find(|sketch| sketch.key == post).map_or(0, |sketch| sketch.minutes_ago);
        for &(after, key, parent, by, body) in comments {
            acts.push(Act { minutes_ago: posted - after, deed: Deed::Comment { key, post, parent, by, body } });
        }
    }
    acts
}

/// Who votes how, and when: another few of the cast for every post, most of them within its first day.
fn ballots(
    index: usize,
    post: &'static str,
    author: &'static str,
    posted: i64,
    (up, down): (usize, usize),
) -> Vec<Act> {
    // Seven and thirteen have no divisor in common: everybody has their turn before anybody has two.
    let voters = (0..CAST.len()).map(|turn| CAST[(index * 5 + turn * 7) % CAST.len()].name);
    let voters = voters.filter(|name| *name != author).take(up + down);
    let vote = |(turn, by): (i64, &'static str)| {
        let direction = if usize::try_from(turn).is_ok_and(|turn| turn < up) { Direction::Up } else { Direction::Down };
        // Of a post that is a few hours old the votes are younger still.
        let after = (turn * turn * 13 + 9).min(posted * (turn + 1) / 16);
        Act { minutes_ago: posted - after, deed: Deed::Vote { post, by, direction } }
    };
    (0..).zip(voters).map(vote).collect()
}
