//! The one shape every aggregate has: decide what happens, evolve by what happened.
//! Loading, appending and retrying belong to the shell.

/// An aggregate. `Default` is the state of an empty stream.
pub trait Decider: Default {
    /// What somebody asks for, with every fact (instants, fresh ids) it needs.
    type Command;
    /// What happened, once and for good.
    type Event;
    /// Why a command may not happen now.
    type Refusal;

    /// The events that `command` leads to; none when what it asks for already holds.
    ///
    /// # Errors
    /// The refusal, when the rules forbid the command in this state.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// The state after `event`.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;
}

/// The state after all `events` of a stream, in their order.
pub fn fold<'a, D>(events: impl IntoIterator<Item = &'a D::Event>) -> D
where
    D: Decider,
    D::Event: 'a,
{
    events.into_iter().fold(D::default(), D::evolve)
}
