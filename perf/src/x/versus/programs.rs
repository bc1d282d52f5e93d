//! What has to be there before anything is measured: both servers, the generator, others' loads.

use std::path::PathBuf;

use super::options::Options;
use super::rows::{Plan, Tool};
use super::subject::Durability;
use crate::x::server::{self, Kind};
use crate::x::{Outcome, packages};

pub(super) struct Programs {
    pub(super) thalweg: PathBuf,
    pub(super) jars: PathBuf,
    pub(super) generator: PathBuf,
    /// A load by franz-go, or why there is none: only the rows that need it fail then.
    pub(super) franz: Result<PathBuf, String>,
}

impl Programs {
    pub(super) fn install(options: &Options) -> Outcome<Self> {
        let runs = options.runs();
        let needs = |kind| runs.iter().any(|run| run.2.kind() == kind);
        let plans: Vec<Plan> = [Durability::Flush, Durability::Write]
            .into_iter()
            .flat_map(|durability| options.rows(durability))
            .map(|row| row.plan)
            .collect();
        let foreign = |tools: [Tool; 2]| {
            plans
                .iter()
                .any(|plan| tools.map(Plan::Foreign).contains(plan))
        };
        let java = needs(Kind::Kafka) || foreign([Tool::JavaProduce, Tool::JavaConsume]);
        Ok(Self {
            thalweg: match needs(Kind::Thalweg) {
                true => server::thalweg(options.build)?,
                false => PathBuf::new(),
            },
            jars: match java {
                true => packages::kafka_jars()?,
                false => PathBuf::new(),
            },
            generator: server::generator(options.build)?,
            franz: match foreign([Tool::FranzProduce, Tool::FranzConsume]) {
                true => packages::franz().map_err(|failure| failure.to_string()),
                false => Err("no row needs it".to_owned()),
            },
        })
    }
}
