//! DescribeCluster, asked on a broker's listener.

use thalweg_wire::messages::describe_cluster_request::DescribeClusterRequestView;
use thalweg_wire::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};

use super::{CLUSTER_OPERATIONS, Viewpoint};
use crate::error::ErrorCode;
use crate::metadata::image::Image;

/// Endpoints of brokers, in DescribeCluster's numbers.
const ENDPOINT_BROKERS: i8 = 1;
/// Endpoints of controllers.
const ENDPOINT_CONTROLLERS: i8 = 2;

/// Answers a DescribeCluster request.
#[must_use]
pub fn describe(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    request: &DescribeClusterRequestView,
) -> DescribeClusterResponse<'static> {
    let refused = |code: ErrorCode, message: String| DescribeClusterResponse {
        error_code: code as i16,
        error_message: Some(message.into()),
        ..DescribeClusterResponse::default()
    };
    match request.endpoint_type {
        ENDPOINT_BROKERS => {}
        ENDPOINT_CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an \
                           endpoint of type CONTROLLER";
            return refused(ErrorCode::MismatchedEndpointType, message.to_owned());
        }
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return refused(ErrorCode::UnsupportedEndpointType, message);
        }
    }
    let shown = image.brokers.values();
    let shown = shown.filter(|broker| !broker.fenced || request.include_fenced_brokers);
    let brokers = shown
        .filter_map(|broker| viewpoint.reach(broker))
        .map(|one| DescribeClusterBroker {
            broker_id: one.broker.id.0,
            host: one.host.to_owned().into(),
            port: one.port,
            rack: one.broker.rack.clone().map(Into::into),
            is_fenced: one.broker.fenced,
        });
    let mut response = DescribeClusterResponse {
        endpoint_type: ENDPOINT_BROKERS,
        cluster_id: viewpoint.cluster_id.to_owned().into(),
        controller_id: viewpoint.controller(image),
        brokers: brokers.collect(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}
