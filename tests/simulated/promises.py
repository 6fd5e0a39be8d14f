"""Which scenarios show each promise of docs/guarantees.md under faults, and why some have none.

A promise is named by how its row begins. `test_simulation.py` checks that each row has an entry,
and that all that is named here is there.
"""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """How the simulated network shows a promise.

    Attributes:
        promise: how its row begins.
        scenarios: those that show it under faults.
        contract: files of ``tests/contract``, whose tests run on the simulated network with drawn
            latencies; a cut or a silence would change what such a test is about.
        real: what the promise is about, which no network has: a thing of the host or of Python.
    """

    promise: str
    scenarios: tuple[str, ...] = ()
    contract: str = ""
    real: str = ""


PROMISES = [
    Shown("A receive that is cancelled", ("a_cancelled_receive_loses_nothing",
          "what_a_cancelled_receiver_was_promised_is_not_lost")),
    Shown("A `push` or `send` that is cancelled",
          ("a_send_that_was_given_up_is_whole_or_not_at_all",)),
    Shown("Parts of two messages", ("a_cut_amid_a_message_costs_no_other",
          "a_send_that_was_given_up_is_whole_or_not_at_all")),
    Shown("Every message is in exactly one count", ("each_message_is_in_one_count",
          "who_waits_for_room_is_told_of_the_end")),
    Shown("After `unsubscribe`", ("what_was_unsubscribed_is_not_heard",
          "what_is_given_up_was_promised_to_nobody", "connections_hear_what_they_subscribe_to")),
    Shown("The publisher gets all subscriptions", ("subscribers_hear_their_tags_in_order",
          "who_subscribes_is_known"), "test_subscribing.py"),
    Shown("`receive_nowait`", ("what_is_taken_at_once_hides_nothing",), "test_receiving_now.py"),
    Shown("An `XPublisher` receives", ("who_subscribes_is_known", "after_ready_nothing_is_missed")),
    Shown("A peer that subscribes to a prefix without end", real="memory"),
    Shown("Plain peers, pyzmq's and Node's", real="other libraries"),
    Shown("A socket may be disconnected", contract="test_parting.py"),
    Shown("A publisher's counts of subscriptions", ("who_subscribes_is_known",)),
    Shown("After `ready`", ("after_ready_nothing_is_missed",
          "an_answer_that_was_lost_is_asked_for_again")),
    Shown("A peer may subscribe to anything", contract="test_audience.py"),
    Shown('`exact=True` and `exact="framed"`', ("the_newest_of_each_tag_comes",),
          "test_choosing.py"),
    Shown("With `conflate=True`", ("the_newest_of_each_tag_comes",)),
    Shown("Of numbered publications", ("what_was_delivered_and_what_is_told_make_up_all",
          "what_a_slow_one_has_missed_comes_though_nothing_follows")),
    Shown("A restart of the publisher", ("a_restart_is_told_before_what_follows_it",)),
    Shown("With a replay address and numbers by tag",
          ("of_a_new_tag_nothing_is_missed_in_silence",)),
    Shown("A second publisher that cannot be told apart", contract="test_new_runs.py"),
    Shown("A process that gives the last number", ("one_that_goes_on_misses_nothing",
          "what_was_delivered_and_what_is_told_make_up_all")),
    Shown("Nothing newer is delivered while", ("what_was_delivered_and_what_is_told_make_up_all",),
          "test_sequences.py"),
    Shown("What is unsubscribed while older ones", contract="test_hard_sequences.py"),
    Shown("With `latest` and `last_values`", ("who_comes_late_is_given_the_last_of_each_tag",)),
    Shown("Publishers and subscribers of the wire of inference", contract="test_sequences.py"),
    Shown("A peer that asks for everything", contract="test_sequences.py"),
    Shown("In every format", contract="test_publication_formats.py"),
    Shown("What does not fit the format", contract="test_publication_formats.py"),
    Shown("Where no new argument is given", real="bytes of the wire"),
    Shown("The receiver wakes", ("both_ways_at_once", "bursts_keep_their_order",
          "a_send_that_fails_hides_nothing_that_has_come"), "test_patterns.py"),
    Shown("When what reports an error raises itself", real="the interpreter"),
    Shown("On Twisted a handler or hook", ("what_a_connection_pushes_arrives_in_order_and_once",)),
    Shown("A reply reaches its own caller", ("requests_get_their_own_replies",
          "requests_through_a_proxy_get_their_own_replies",
          "each_deferred_of_a_request_fires_once"), "test_hostile_peers.py"),
    Shown("A request ends in exactly one way", ("requests_get_their_own_replies",
          "each_message_is_in_one_count", "each_deferred_of_a_request_fires_once")),
    Shown("A `Replier` that is told to stop", ("a_server_gives_back_what_it_has_not_answered",)),
    Shown("A bound `Replier` or `Router` that closes", ("a_server_that_leaves_is_heard",)),
    Shown("A request that timed out or was cancelled", ("who_gives_up_is_not_heard",
          "requests_get_their_own_replies")),
    Shown("On Twisted no timer is left", ("a_factory_ends_whatever_is_under_way",)),
    Shown("No request is lost to an address", contract="test_hostile_peers.py"),
    Shown("When the loop was held up", ("what_came_in_time_is_not_late",)),
    Shown("On Twisted a jump of the wall clock", real="the clock"),
    Shown("An exception of a handler of `serve`", ("a_server_survives_its_handlers",)),
    Shown("Under a flood of messages", real="slices of CPU time"),
    Shown("For a consumer that pauses", ("a_slow_reader_pushes_back_and_costs_bounded_memory",
          "what_was_given_up_is_not_read")),
    Shown("With CONFLATE the newest", ("with_conflate_the_newest_comes",)),
    Shown("`push` and `send` wait", ("a_slow_reader_pushes_back_and_costs_bounded_memory",
          "what_waits_at_the_close_is_sent")),
    Shown("libzmq's I/O thread is held", real="threads"),
    Shown("A Router serves nine peers", ("one_that_does_not_read_holds_up_no_other",
          "a_router_says_who_is_gone")),
    Shown("A client that reads no replies", ("one_that_does_not_read_holds_up_no_other",),
          "test_stuck_peers.py"),
    Shown("A sender that waits for a peer that has died", ("who_waits_for_one_that_died_is_told",)),
    Shown("A peer that has come back", ("dealers_get_back_what_they_send",)),
    Shown("A thousand stuck peers", real="slices of CPU time"),
    Shown("If there is no memory", real="memory"),
    Shown("When a loop is run again inside a task", real="the interpreter"),
    Shown("To unsubscribe from a tag", real="slices of CPU time"),
    Shown("Every reply that fails", contract="test_stuck_peers.py"),
    Shown("Closing is idempotent", ("the_end_of_a_socket_is_told_to_all_who_wait",
          "who_waits_for_room_is_told_of_the_end", "a_factory_ends_whatever_is_under_way")),
    Shown("Any number of calls may wait", ("each_of_a_crowd_is_told",)),
    Shown("Closing never blocks", ("what_was_sent_before_the_close_arrives",),
          "test_shutdown.py"),
    Shown("No descriptor, reader or timer", real="descriptors"),
    Shown("`drain(timeout)`", ("what_a_drain_says_is_so",)),
    Shown("A forgotten socket warns", real="the interpreter"),
    Shown("The linger is kept", ("what_was_sent_before_the_close_arrives",
          "what_waits_at_the_close_is_sent")),
    Shown("Over ipc on Linux", ("what_was_sent_before_the_close_arrives",)),
    Shown("On loops without `add_reader`", real="threads"),
    Shown("A loop that runs in a daemon thread", real="threads"),
    Shown("An address can be bound again", ("a_server_that_leaves_is_heard",)),
    Shown("A proxy ends within moments", contract="test_steered_proxies.py"),
    Shown("While it is paused", contract="test_steered_proxies.py"),
    Shown("If its thread fails", real="threads"),
    Shown("A proxy survives a call", contract="test_steered_proxies.py"),
    Shown("A forgotten proxy", real="processes"),
    Shown("A proxy with policies", contract="test_guarded_proxies.py"),
    Shown("`tap` never holds up", real="processes"),
    Shown("A call from a thread other", real="threads"),
    Shown("On Twisted a socket may be made in another thread", real="threads"),
    Shown("A call in a forked child", real="processes"),
    Shown("A forked child that runs", real="processes"),
    Shown("A `ZmqFactory` may be made before", real="processes"),
    Shown("Any multipart message", contract="test_hostile_peers.py"),
    Shown("A request with no part", contract="test_stuck_peers.py"),
    Shown("An option, an address or an argument", contract="test_bad_input.py"),
    Shown("If there is no room for one more socket", real="descriptors"),
    Shown("An argument that a class does not take", real="types"),
    Shown("`inspect.signature`", real="types"),
    Shown("Type checkers refuse", real="types"),
    Shown("Each class that claims an interface", real="types"),
    Shown("On asyncio and trio, `Pusher`", real="types"),
    Shown("Every public name has a type", real="types"),
    Shown("A server without an authenticator", contract="test_security.py"),
    Shown("When its authenticator has gone", contract="test_security.py"),
    Shown("A client about whom a `check`", ("new_policies_decide_also_about_who_waits",)),
    Shown("An unknown key, password, address", ("only_who_is_let_in_is_heard",)),
    Shown("An IPv4 address equals", ("addresses_are_let_in_by_their_rules",)),
    Shown("Keys are read again", ("new_policies_decide_also_about_who_waits",)),
    Shown("A monitored client", ("connections_are_told_as_they_are",), "test_connection_state.py"),
    Shown("A client that is refused", ("only_who_is_let_in_is_heard",)),
    Shown("No secret is in a repr", contract="test_security.py"),
]  # fmt: skip
REAL = frozenset({
    "bytes of the wire", "descriptors", "memory", "other libraries", "processes",
    "slices of CPU time", "the clock", "the interpreter", "threads", "types",
})  # fmt: skip
