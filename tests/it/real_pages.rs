//! Every page of the golden file of doors, in headless Chromium: no fault of accessibility, nothing wider than the
//! screen, no word on the console, no request to other hosts, nothing that moves, nothing heavy.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    auditor::Auditor,
    hostile_site, page_list,
    page_list::{At, NEWCOMER, NOBODY, Page},
    rare_sites,
    running_site::{PASSWORD, RunningSite, Visitor},
};

/// What `GET` doors answer that is no page of the site.
const NO_PAGES: [&str; 8] =
    ["/style.css", "/site.js", "/counts", "/metrics", "/healthz", "/readyz", "/openapi.json", "/unread"];

/// A site whose things have been looked up, with everybody who looks at it signed in.
pub struct Tour {
    url: String,
    visitors: BTreeMap<&'static str, Visitor>,
    applications: BTreeMap<String, serde_json::Value>,
    posts: BTreeMap<String, String>,
    /// The one-time link that there is.
    pub link: String,
}

impl Tour {
    /// Where nobody can be signed in yet.
    pub fn of_nobody(url: &str, link: &str) -> Self {
        Self {
            url: url.to_owned(),
            visitors: [(NOBODY, Visitor::at(url))].into(),
            applications: BTreeMap::new(),
            posts: BTreeMap::new(),
            link: link.to_owned(),
        }
    }

    /// As `staff` sees it, who reviews.
    pub async fn of(url: &str, password: &str, pages: &[Page], staff: &'static str) -> Self {
        let mut visitors = BTreeMap::new();
        for who in pages.iter().map(|page| page.who).chain([staff]) {
            if !visitors.contains_key(who) {
                let mut visitor = Visitor::at(url);
                if who != NOBODY {
                    visitor.log_in_with(who, password).await;
                }
                visitors.insert(who, visitor);
            }
        }
        let looker = visitors.get_mut(staff).expect("they came in");
        let named = |row: &serde_json::Value, name: &str| row[name].as_str().expect("a name").to_owned();
        let applications = looker.json_at("/api/v1/review?limit=100").await["data"].as_array().expect("a list").clone();
        let posts = looker.json_at("/?sort=new&limit=100").await["data"].as_array().expect("a list").clone();
        Self {
            url: url.to_owned(),
            applications: applications.into_iter().map(|row| (named(&row, "name"), row)).collect(),
            posts: posts.into_iter().map(|row| (named(&row, "title"), named(&row, "id"))).collect(),
            visitors,
            link: String::new(),
        }
    }

    fn application(&self, name: &str, field: &str) -> &str {
        let row = self.applications.get(name).unwrap_or_else(|| panic!("{name}: {:?}", self.applications.keys()));
        row[field].as_str().unwrap_or_else(|| panic!("{name} has no {field}"))
    }

    async fn address(&mut self, page: &Page) -> String {
        let path = match page.at {
            At::Path(path) => path.to_owned(),
            At::Link => return self.link.clone(),
            At::Post(title) => {
                format!(
                    "/posts/{}",
                    self.posts.get(title).unwrap_or_else(|| panic!("{title}: {:?}", self.posts.keys()))
                )
            }
            At::Event(kind) => {
                let visitor = self.visitors.get_mut(page.who).expect("they came in");
                let events = visitor.json_at(&format!("/api/v1/events?type={kind}&limit=1")).await;
                format!("/admin/audit/{}", events["data"][0]["position"])
            }
            At::Application(name) => format!("/settings/apps/{}", self.application(name, "id")),
            At::Review(name) => format!("/admin/apps/{}", self.application(name, "id")),
            At::Consent(name, more) => format!("/authorize?client_id={}{more}", self.application(name, "client_id")),
            At::Notification(title) => {
                let visitor = self.visitors.get_mut(page.who).expect("they came in");
                let all = visitor.json_at("/api/v1/notifications?limit=100").await;
                let all = all["data"].as_array().expect("a list");
                let titles: Vec<_> = all.iter().map(|one| one["title"].as_str().unwrap_or_default()).collect();
                let found = titles.iter().position(|one| one.contains(title));
                let found = found.unwrap_or_else(|| panic!("{title} is not among {titles:?} of {}", page.who));
                format!("/inbox/{}", all[found]["id"].as_str().expect("an id"))
            }
        };
        format!("{}{path}", self.url)
    }

    /// Looks at all of them.
    pub async fn walk(&mut self, auditor: &mut Auditor, pages: &[Page]) {
        for page in pages {
            auditor.sit_down(&self.visitors[page.who]).await;
            let address = self.address(page).await;
            auditor.look_at(page, &address).await;
        }
    }
}

/// The demo, a member who has done nothing, a message between members, an application of a reviewer.
async fn demo() -> RunningSite {
    let settings = [
        ("DEMO", "true"),
        ("LIMITS_LOGIN_PER_MINUTE", "1000"),
        ("LIMITS_OPEN_REQUESTS", "2"),
        ("LIMITS_MESSAGES_PER_HOUR", "1"),
    ];
    let site = RunningSite::start_with(&settings, &[]);
    let password = countersign::demo::PASSWORD;
    let joins = [("username", NEWCOMER), ("password", password), ("password_repeat", password)];
    site.visitor().submitted("/signup", "/signup", &joins).await;
    let mut olga = site.visitor();
    olga.log_in_with("olga", password).await;
    let letter = [("to", "ben"), ("title", "Chains on the pass"), ("body", "From **Friday** on.\n\n- two\n- or four")];
    olga.submitted("/inbox", "/inbox", &letter).await;
    let mut mia = site.visitor();
    mia.log_in_with("mia", password).await;
    mia.ask_for("Reviewers' own", "https://own.example/cb").await;
    site
}

async fn look_at_the_demo(pages: Vec<Page>) {
    let site = demo().await;
    let Some(mut auditor) = Auditor::start(site.url()).await else {
        return;
    };
    let mut tour = Tour::of(site.url(), countersign::demo::PASSWORD, &pages, "ada").await;
    tour.walk(&mut auditor, &pages).await;
    auditor.report();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_pages_of_the_demo_are_in_order_on_every_screen() {
    look_at_the_demo(page_list::of_members()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_and_error_pages_of_the_demo_are_in_order_on_every_screen() {
    look_at_the_demo(page_list::of_staff()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_full_of_hostile_texts_are_in_order_on_every_screen() {
    let served = hostile_site::start().await;
    let Some(mut auditor) = Auditor::start(&served.url).await else {
        return;
    };
    let pages = hostile_site::pages();
    let mut tour = Tour::of(&served.url, PASSWORD, &pages, hostile_site::STAFF).await;
    tour.walk(&mut auditor, &pages).await;
    auditor.report();
}

#[test]
fn every_page_of_the_golden_file_is_looked_at() {
    let golden = include_str!("routes.txt");
    let doors = golden.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "GET").then(|| words.next().expect("a path"))
    });
    let doors: BTreeSet<_> = doors.filter(|path| !path.starts_with("/api/v1/") && !NO_PAGES.contains(path)).collect();
    let pages = [page_list::of_members(), page_list::of_staff(), hostile_site::pages(), rare_sites::pages()];
    let pages: Vec<_> = pages.into_iter().flatten().collect();
    let listed: BTreeSet<_> = pages.iter().map(|page| page.door).filter(|door| door.starts_with('/')).collect();
    assert_eq!(listed, doors, "tests/it/page_list.rs and tests/it/routes.txt differ");
    let names: BTreeSet<_> = pages.iter().map(|page| page.name).collect();
    assert_eq!(names.len(), pages.len(), "two pages have one name, and their pictures one file");
}
