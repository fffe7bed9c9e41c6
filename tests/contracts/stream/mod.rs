//! The stream's contract, held by the Kinesis adapter on three independent servers.

mod contract;
mod over_http;

/// One test for each part of the contract.
macro_rules! suite {
    ($server:ident) => {
        suite! { $server:
            Shared [
                contract::every_place_to_start_at_is_understood
                contract::a_page_holds_what_was_asked_for_and_says_how_far_behind_it_is
                contract::a_page_holds_at_most_10_mib
                contract::a_place_can_be_read_again
                contract::unknown_places_are_refused
                contract::a_fresh_stream_lists_all_its_shards
                contract::a_split_shard_ends_and_names_its_children
                contract::a_merged_pair_ends_in_one_child
                contract::a_closed_shard_can_be_read_from_anywhere
                contract::generations_are_read_in_order
                over_http::a_listing_has_pages
                over_http::an_unknown_stream_is_not_found
            ]
            Alone [contract::an_iterator_expires]
        }
    };
    ($server:ident: $($tenancy:ident [$($part:ident::$contract:ident)*])*) => {
        mod $server {
            use super::{contract, over_http::{self, Kinesis, Tenancy}};
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    let Some(kinesis) = Kinesis::$server(Tenancy::$tenancy).await else { return };
                    $part::$contract(&kinesis).await;
                }
            )*)*
        }
    };
}

suite!(embedded);
suite!(kinesis_local);
suite!(kinesalite);
