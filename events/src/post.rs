//! The small board that the guide's examples read: posts, comments, votes, and no more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    decider::Decider,
    ids::{CommentId, PostId, UserId},
    recorded::{StreamName, Timestamp},
    sensitive::Personal,
};

#[cfg(test)]
mod tests;

/// The stream of a post and its comments.
#[must_use]
pub const fn stream(post: PostId) -> StreamName {
    StreamName::Post(post)
}

/// The stream of a member's vote on a post.
#[must_use]
pub const fn vote_stream(post: PostId, user: UserId) -> StreamName {
    StreamName::Vote(post, user)
}

/// What happened to a post. Through which application, the envelope says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum PostEvent {
    /// A member published it.
    PostPublished {
        post_id: PostId,
        author: UserId,
        mentions: Vec<UserId>,
        title: Personal,
        url: Option<Personal>,
        body: Personal,
        at: Timestamp,
    },
    /// A member commented; `answers` is whose post or comment it answers.
    CommentPosted {
        post_id: PostId,
        comment_id: CommentId,
        parent: Option<CommentId>,
        author: UserId,
        answers: UserId,
        mentions: Vec<UserId>,
        body: Personal,
        at: Timestamp,
    },
}

/// A post with the authors of its comments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Post {
    author: Option<UserId>,
    comments: BTreeMap<CommentId, UserId>,
}

/// What can be asked of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum PostCommand {
    Publish {
        post_id: PostId,
        author: UserId,
        mentions: Vec<UserId>,
        title: Personal,
        url: Option<Personal>,
        body: Personal,
        at: Timestamp,
    },
    Comment {
        post_id: PostId,
        comment_id: CommentId,
        parent: Option<CommentId>,
        author: UserId,
        mentions: Vec<UserId>,
        body: Personal,
        at: Timestamp,
    },
}

/// Why a post command may not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostRefusal {
    /// The id is taken.
    #[error("this post was published already")]
    AlreadyPublished,
    /// There is no such post.
    #[error("no such post")]
    NoSuchPost,
    /// There is no such comment under it.
    #[error("the comment that is answered does not exist under this post")]
    NoSuchComment,
}

impl Decider for Post {
    type Command = PostCommand;
    type Event = PostEvent;
    type Refusal = PostRefusal;

    fn decide(&self, command: PostCommand) -> Result<Vec<PostEvent>, PostRefusal> {
        match (self.author, command) {
            (None, PostCommand::Publish { post_id, author, mentions, title, url, body, at }) => {
                Ok(vec![PostEvent::PostPublished { post_id, author, mentions, title, url, body, at }])
            }
            (Some(_), PostCommand::Publish { .. }) => Err(PostRefusal::AlreadyPublished),
            (None, PostCommand::Comment { .. }) => Err(PostRefusal::NoSuchPost),
            (Some(_), PostCommand::Comment { comment_id, author, .. }) if self.comments.contains_key(&comment_id) => {
                let asked_twice = self.comments.get(&comment_id) == Some(&author);
                if asked_twice { Ok(vec![]) } else { Err(PostRefusal::AlreadyPublished) }
            }
            (Some(post_author), PostCommand::Comment { post_id, comment_id, parent, author, mentions, body, at }) => {
                let answers = match parent {
                    None => post_author,
                    Some(parent) => *self.comments.get(&parent).ok_or(PostRefusal::NoSuchComment)?,
                };
                Ok(vec![PostEvent::CommentPosted { post_id, comment_id, parent, author, answers, mentions, body, at }])
            }
        }
    }

    fn evolve(mut self, event: &PostEvent) -> Self {
        match event {
            PostEvent::PostPublished { author, .. } => self.author = Some(*author),
            PostEvent::CommentPosted { comment_id, author, .. } => {
                self.comments.insert(*comment_id, *author);
            }
        }
        self
    }
}

/// Which way a vote goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// For it.
    Up,
    /// Against it.
    Down,
    /// Neither, or taken back.
    #[default]
    None,
}

impl Direction {
    /// What it adds to the votes for and against.
    #[must_use]
    pub const fn counts(self) -> (i64, i64) {
        match self {
            Self::Up => (1, 0),
            Self::Down => (0, 1),
            Self::None => (0, 0),
        }
    }
}

/// What happened to a member's vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum VoteEvent {
    /// It was cast or changed; `previous` lets a count follow without looking anything up.
    VoteCast { post_id: PostId, user_id: UserId, direction: Direction, previous: Direction, at: Timestamp },
}

/// A member's vote on a post.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vote(pub Direction);

/// Cast or change a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct CastVote {
    pub post_id: PostId,
    pub user_id: UserId,
    pub direction: Direction,
    pub at: Timestamp,
}

impl Decider for Vote {
    type Command = CastVote;
    type Event = VoteEvent;
    type Refusal = std::convert::Infallible;

    fn decide(&self, CastVote { post_id, user_id, direction, at }: CastVote) -> Result<Vec<VoteEvent>, Self::Refusal> {
        if direction == self.0 {
            return Ok(vec![]);
        }
        Ok(vec![VoteEvent::VoteCast { post_id, user_id, direction, previous: self.0, at }])
    }

    fn evolve(self, VoteEvent::VoteCast { direction, .. }: &VoteEvent) -> Self {
        Self(*direction)
    }
}
