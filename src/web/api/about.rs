//! What each door for programs is for, in words, and which errors it has beside those that come with its kind. A
//! test holds it to the table of doors: each is here, and nothing else is.

/// Some doors that belong together.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// What they are about.
    pub about: &'static str,
    /// The doors.
    pub doors: &'static [About],
}

/// A door in words.
#[derive(Debug)]
pub struct About {
    /// Its method and path.
    pub door: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The words of its own errors.
    pub codes: &'static [&'static str],
}

const fn door(door: &'static str, summary: &'static str, codes: &'static [&'static str]) -> About {
    About { door, summary, codes }
}

const PAGED: &[&str] = &["limit", "cursor", "unknown_parameter"];
const FILTERED: &[&str] = &["limit", "cursor", "unknown_parameter", "unknown_value"];

/// Every door for programs.
pub const GROUPS: &[Group] = &[
    Group {
        name: "Who am I",
        about: "The token of a request, and the member behind it.",
        doors: &[
            door("GET /api/v1/token", "The token that was sent: whose it is, which application's, what it may do", &[]),
            door("GET /api/v1/me", "The member, with their roles", &[]),
        ],
    },
    Group {
        name: "The board",
        about: "Posts, comments and votes.",
        doors: &[
            door("GET /", "The front page", &["limit", "cursor", "page", "unknown_value"]),
            door("GET /api/v1/posts/{id}", "A post with its comments, oldest first", PAGED),
            door("POST /api/v1/posts", "Publishes a post", &[]),
            door("POST /api/v1/posts/{id}/comments", "Comments on a post, or answers a comment", &["no_such_comment"]),
            door("POST /api/v1/posts/{id}/votes", "Votes on a post, or takes the vote back", &[]),
        ],
    },
    Group {
        name: "Notifications and messages",
        about: "What a member was told. Texts of private messages only with the scope messages.",
        doors: &[
            door("GET /unread", "Unread notifications; reading marks none unless asked to", FILTERED),
            door("POST /notifications/read", "Marks notifications as read", &[]),
            door("GET /api/v1/notifications", "All notifications, newest first", PAGED),
            door("POST /api/v1/notifications/read", "Marks notifications as read", &[]),
            door("GET /api/v1/messages", "Private messages, newest first", PAGED),
            door("POST /api/v1/messages", "Writes to another member", &[]),
            door("GET /api/v1/messages/{id}", "A private message", &[]),
            door(
                "POST /api/v1/messages/{id}/reveal",
                "Shows the token that waits in a message, once",
                &["already_revealed", "secret_expired", "secret_lost"],
            ),
        ],
    },
    Group {
        name: "Applications",
        about: "A member's own applications: asked for, edited, withdrawn.",
        doors: &[
            door("GET /api/v1/applications", "The member's applications, newest first", PAGED),
            door("POST /api/v1/applications", "Asks for an application", &["too_many_open_requests"]),
            door("GET /api/v1/applications/{id}", "An application", &[]),
            door(
                "PATCH /api/v1/applications/{id}",
                "Edits what is asked for, or proposes a change of what is approved; what is left out stays",
                &["wrong_state", "revised"],
            ),
            door(
                "POST /api/v1/applications/{id}/withdraw",
                "Withdraws an application; its tokens end",
                &["wrong_state", "revised"],
            ),
            door(
                "POST /api/v1/applications/{id}/resubmit",
                "Comes back with what reviewers asked for; what is left out stays",
                &["wrong_state", "revised"],
            ),
            door("POST /api/v1/applications/{id}/appeal", "Appeals against a denial, once", &["wrong_state"]),
            door(
                "POST /api/v1/applications/{id}/withdraw-change",
                "Takes a proposed change back",
                &["wrong_state", "revised"],
            ),
            door(
                "POST /api/v1/applications/{id}/rotate-client-id",
                "Puts another client id in the place of this one; tokens stay",
                &["wrong_state"],
            ),
            door("GET /api/v1/applications/{id}/history", "What happened to an application, oldest first", PAGED),
        ],
    },
    Group {
        name: "Authorizations and tokens",
        about: "What a member lets applications do, and the tokens of it.",
        doors: &[
            door("GET /api/v1/authorizations", "The applications with access to the member's account", PAGED),
            door("DELETE /api/v1/authorizations/{id}", "Takes an application's access back; its tokens end", &[]),
            door("DELETE /api/v1/authorizations", "Takes all access back", &[]),
            door("GET /api/v1/tokens", "The member's tokens; never their texts", PAGED),
            door("DELETE /api/v1/tokens/{id}", "Revokes a token", &[]),
            door(
                "POST /api/v1/tokens/{id}/regenerate",
                "Ends a personal token and shows another in its place, once",
                &["wrong_state", "secret_lost"],
            ),
        ],
    },
    Group {
        name: "Review",
        about: "The queue of applications, and decisions.",
        doors: &[
            door("GET /api/v1/review", "Applications by when they were asked for, or by how long they wait", FILTERED),
            door(
                "POST /api/v1/review/{id}/{verb}",
                "Claims an application, lets it go, or decides on it, or on a change of it, at the revision that was read",
                &["wrong_state", "revised", "claimed", "own_application", "own_denial", "password_again"],
            ),
        ],
    },
    Group {
        name: "Audit",
        about: "The whole history.",
        doors: &[door(
            "GET /api/v1/events",
            "Events, filtered, each as a sentence and as it is stored; personal texts only where auditors read them",
            FILTERED,
        )],
    },
    Group {
        name: "The site",
        about: "How it is, and this description.",
        doors: &[
            door("GET /healthz", "Whether the program runs", &[]),
            door("GET /readyz", "Whether it can answer: log and vault are there, read models follow", &[]),
            door("GET /api/v1/projections", "How each read model does", &[]),
            door("GET /openapi.json", "This description", &[]),
        ],
    },
];
