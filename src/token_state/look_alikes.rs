//! Which applications could be taken for one another by their names.

use countersign_events::{application::Standing, ids::ApplicationId};

use super::{Client, TokenState};

impl TokenState {
    /// The names of other approved applications that an application's name could be taken for. It is asked when a
    /// member is about to agree: a few comparisons for each application, and no look-up.
    #[must_use]
    pub fn look_alikes(&self, application: ApplicationId) -> Vec<String> {
        let clients = self.clients.pin();
        let Some(likeness) = clients.get(&application).and_then(|client| client.likeness.as_ref()) else {
            return vec![];
        };
        let resembles = |client: &Client| client.likeness.as_ref().is_some_and(|other| other.resembles(likeness));
        let others = clients
            .iter()
            .filter(|(id, client)| **id != application && client.standing == Standing::Approved && resembles(client));
        let mut names: Vec<_> = others.map(|(_, client)| client.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
