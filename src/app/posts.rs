//! The board: front page, posts, comments, votes.

use std::collections::HashMap;

use countersign_events::{
    account::AccountStanding,
    decider::{Decider, fold},
    event::Event,
    ids::{CommentId, PostId, UserId},
    post::{self, CastVote, Direction, Post, PostCommand, Vote},
    recorded::Version,
    text,
};
use countersign_projections::front_page;

use super::{
    App, AppError, Caller, Done, Plan,
    error::FieldErrors,
    ranking::{self, AsOf, Sort, Span},
};
use crate::bounds::{LIST_BYTES, most_of_each, that_fit};
use crate::store::{
    decode,
    rows::{CommentPlace, CommentRow, PostRow},
    unless_building,
};

/// The longest body, in characters.
const BODY: usize = 20_000;
/// At most so many members are told that a post or comment names them.
const MENTIONS: usize = 10;

/// Which part of the front page.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the parameters, by their names")]
pub struct FrontPageQuery {
    pub sort: Sort,
    pub span: Span,
    pub page: u32,
    pub limit: u32,
    pub after: Option<PostId>,
    /// Whether texts are wanted.
    pub texts: bool,
}

/// A post with the names to show.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct PostView {
    pub row: PostRow,
    pub author: String,
    /// The application it came through.
    pub application: Option<String>,
}

/// A comment with the names to show.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct CommentView {
    pub row: CommentRow,
    pub author: String,
    pub application: Option<String>,
}

impl App {
    /// A part of the front page, without texts or with those that there is room for. `true`: there is more.
    ///
    /// # Errors
    /// [`AppError::NoSuchCursor`], [`AppError::Store`].
    pub async fn front_page(&self, query: FrontPageQuery) -> Result<(Vec<PostView>, bool), AppError> {
        // What the board shows changes with its own events only, not with every event of the log.
        let newest = self.board.newest();
        let generation = self.models.current(&front_page::PROJECTION).await?;
        let position = self.models.cursor(&front_page::PROJECTION).await?.position.min(newest);
        let as_of = AsOf { generation, position };
        let ranked = self.ranking.get(self.models.as_ref(), &self.board, as_of, query.sort).await?;
        let since = query.span.since(self.now());
        let page = ranking::page(&ranked, since, query.after, query.page, query.limit);
        let (ids, more) = page.ok_or(AppError::NoSuchCursor)?;
        let bytes = if query.texts { most_of_each(self.models.post_bytes(&ids).await?, LIST_BYTES) } else { 0 };
        let rows = self.models.posts(&ids, bytes).await?.into_iter();
        let mut rows: HashMap<_, _> = rows.map(|row| (row.counts.post_id, row)).collect();
        let posts = ids.iter().filter_map(|id| rows.remove(id)).map(|row| self.as_post(row)).collect();
        Ok((posts, more))
    }

    fn as_post(&self, row: PostRow) -> PostView {
        let application = row.application_id.and_then(|id| self.state.client(id)).map(|client| client.name);
        PostView { author: self.state.name_of(row.author_id), application, row }
    }

    /// A post with its whole text.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn post(&self, id: PostId) -> Result<PostView, AppError> {
        let row = self.models.posts(&[id], usize::MAX).await?.pop().ok_or(AppError::NotFound)?;
        Ok(self.as_post(row))
    }

    /// Where all comments on a post stand, oldest first, without their texts.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn comment_places(&self, id: PostId) -> Result<Vec<CommentPlace>, AppError> {
        Ok(self.models.comment_places(id, None, u32::MAX).await?)
    }

    /// These comments, in this order.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn comments(&self, ids: &[CommentId]) -> Result<Vec<CommentView>, AppError> {
        let as_comment = |row: CommentRow| {
            let application = row.application_id.and_then(|id| self.state.client(id)).map(|client| client.name);
            CommentView { author: self.state.name_of(row.author_id), application, row }
        };
        let mut rows: HashMap<_, _> =
            self.models.comments(ids).await?.into_iter().map(|row| (row.comment_id, row)).collect();
        Ok(ids.iter().filter_map(|id| rows.remove(id)).map(as_comment).collect())
    }

    /// A page of the comments on a post, oldest first, as many as there is room for. `true`: there are more.
    ///
    /// # Errors
    /// [`AppError::NoSuchCursor`], [`AppError::Store`].
    pub async fn comments_after(
        &self,
        post: PostId,
        after: Option<CommentId>,
        limit: u32,
    ) -> Result<(Vec<CommentView>, bool), AppError> {
        let after = match after {
            Some(id) => Some((self.models.comment_at(post, id).await?.ok_or(AppError::NoSuchCursor)?, id)),
            None => None,
        };
        let places = self.models.comment_places(post, after, limit + 1).await?;
        let fit = that_fit(places.iter().map(|place| place.bytes), LIST_BYTES).min(limit as usize);
        let ids: Vec<_> = places.iter().take(fit).map(|place| place.comment_id).collect();
        Ok((self.comments(&ids).await?, fit < places.len()))
    }

    /// A member publishes a post.
    ///
    /// # Errors
    /// Fields that do not fit.
    pub async fn publish(
        &self,
        caller: &Caller,
        author: UserId,
        title: &str,
        url: &str,
        body: &str,
    ) -> Result<Done<PostId>, AppError> {
        let mut errors = FieldErrors::default();
        let title = errors.take(text::post_title(title));
        let url = if url.trim().is_empty() { None } else { Some(errors.take(text::post_url(url))) };
        let body = errors.take(text::body("body", body, BODY));
        errors.check()?;
        let mentions = self.mentions(&format!("{title}\n{body}")).await?;
        let post_id = PostId(self.world.uuid());
        let stream = post::stream(post_id);
        let at = self.now();
        self.execute(caller, || async {
            let command = PostCommand::Publish {
                post_id,
                author,
                mentions: mentions.clone(),
                title: title.as_str().into(),
                url: url.as_deref().map(Into::into),
                body: body.as_str().into(),
                at,
            };
            let events = Post::default().decide(command)?;
            Ok(Plan::answering(post_id).with(&stream, Version(0), events))
        })
        .await
    }

    /// A member comments on a post, or answers a comment under it.
    ///
    /// # Errors
    /// No such post or comment, or a body that does not fit.
    pub async fn comment(
        &self,
        caller: &Caller,
        author: UserId,
        post_id: PostId,
        parent: Option<CommentId>,
        body: &str,
    ) -> Result<Done<CommentId>, AppError> {
        let body = text::required_body("body", body, BODY)?;
        let mentions = self.mentions(&body).await?;
        let comment_id = CommentId(self.world.uuid());
        let stream = post::stream(post_id);
        let at = self.now();
        self.execute(caller, || async {
            let (post, _) = self.load::<Post>(&stream).await?;
            let mentions = mentions.clone();
            let command =
                PostCommand::Comment { post_id, comment_id, parent, author, mentions, body: body.as_str().into(), at };
            // Comments commute: nothing that was read here can be taken back by another comment.
            Ok(Plan::answering(comment_id).with_any(&stream, post.decide(command)?))
        })
        .await
    }

    /// The active members whom a text names with `@name`, each once.
    async fn mentions(&self, body: &str) -> Result<Vec<UserId>, AppError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        // In an e-mail address it names nobody.
        let begins = |at: &usize| !body[..*at].ends_with(|c: char| c.is_alphanumeric() || "._+-@".contains(c));
        let words = body.match_indices('@').map(|(at, _)| at).filter(begins);
        let words = words.map(|at| body[at + 1..].split(|c| !is_name(c)).next().unwrap_or_default());
        let mut named = vec![];
        for name in words.filter(|name| text::username(name).is_ok()).take(MENTIONS) {
            if let Some(account) = self.models.account_named(&self.username_digest(name)).await?
                && account.standing == AccountStanding::Active
                && !named.contains(&account.user_id)
            {
                named.push(account.user_id);
            }
        }
        Ok(named)
    }

    /// How a member votes on these posts; those that they do not vote on are left out.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn votes_of(&self, user_id: UserId, posts: &[PostId]) -> Result<HashMap<PostId, Direction>, AppError> {
        // A vote takes the place of the one before: the last event of its stream is enough.
        let streams: Vec<_> = posts.iter().map(|post| post::vote_stream(*post, user_id)).collect();
        let mut votes = HashMap::new();
        for stored in self.log.newest_of(&streams).await? {
            if let Event::Vote(event) = decode(&stored)?.event {
                let Vote(direction) = fold(std::slice::from_ref(&event));
                let post::VoteEvent::VoteCast { post_id, .. } = event;
                votes.insert(post_id, direction);
            }
        }
        Ok(votes)
    }

    /// A member votes on a post, changes the vote, or takes it back.
    ///
    /// # Errors
    /// No such post.
    pub async fn vote(
        &self,
        caller: &Caller,
        user_id: UserId,
        post_id: PostId,
        direction: Direction,
    ) -> Result<Done<()>, AppError> {
        let stream = post::vote_stream(post_id, user_id);
        let at = self.now();
        self.execute(caller, || async {
            // The read model may not know yet what the log knows.
            if unless_building(self.models.posts(&[post_id], 0).await)?.is_empty()
                && self.load::<Post>(&post::stream(post_id)).await?.0 == Post::default()
            {
                return Err(AppError::NotFound);
            }
            let (vote, version) = self.load::<Vote>(&stream).await?;
            let Ok(events) = vote.decide(CastVote { post_id, user_id, direction, at });
            Ok(Plan::answering(()).with(&stream, version, events))
        })
        .await
    }
}
