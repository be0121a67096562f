"""The route handlers, one module for each kind of resource."""

from nearline.server.routes.around import (
    item_audience,
    item_trend,
    list_items,
    list_users,
    popular_items,
    search_items,
    trending_items,
)
from nearline.server.routes.critiques import add_critique, list_critiques, revoke_critique
from nearline.server.routes.dashboard import dashboard, dashboard_part
from nearline.server.routes.definitions import (
    delete_rule,
    delete_scenario,
    get_policies,
    get_rule,
    get_scenario,
    list_rules,
    list_scenarios,
    put_rule,
    put_scenario,
)
from nearline.server.routes.events import delete_event, store_events
from nearline.server.routes.experiments import (
    delete_experiment,
    experiment_results,
    get_experiment,
    list_experiments,
    put_experiment,
    stop_experiment,
)
from nearline.server.routes.health import docs, index, livez, metrics, openapi, readyz
from nearline.server.routes.impressions import add_impressions
from nearline.server.routes.inspection import follow_flow, show_config
from nearline.server.routes.items import (
    change_item,
    delete_item,
    get_item,
    put_item,
    put_items,
    similar_items,
)
from nearline.server.routes.jobs import cancel_job, get_job, list_jobs, submit_job
from nearline.server.routes.namespaces import get_namespace, list_namespaces, put_namespace
from nearline.server.routes.recommendations import (
    explain,
    preload,
    rank,
    recommend,
    recommend_batch,
    recommend_session,
)
from nearline.server.routes.report import get_report
from nearline.server.routes.rights import (
    delete_tag,
    export_user,
    get_consent,
    get_transparency,
    list_tags,
    put_consent,
)
from nearline.server.routes.snapshots import list_snapshots, promote_snapshot, roll_back
from nearline.server.routes.statistics import get_privacy_budget, release_statistics
from nearline.server.routes.users import change_user, forget_user, get_user, put_user
from nearline.server.routes.weights import get_weights, put_weights, reset_weights

OPERATIONS = [index, dashboard, dashboard_part, livez, readyz, metrics, openapi, docs]
V1 = [
    store_events,
    delete_event,
    add_impressions,
    recommend,
    recommend_session,
    recommend_batch,
    preload,
    rank,
    explain,
    similar_items,
    item_audience,
    item_trend,
    popular_items,
    trending_items,
    search_items,
    list_items,
    put_items,
    put_item,
    get_item,
    change_item,
    delete_item,
    list_users,
    get_user,
    put_user,
    add_critique,
    list_critiques,
    revoke_critique,
    change_user,
    forget_user,
    put_consent,
    get_consent,
    export_user,
    get_transparency,
    list_tags,
    delete_tag,
    release_statistics,
    get_privacy_budget,
    put_scenario,
    get_scenario,
    get_policies,
    list_scenarios,
    delete_scenario,
    put_rule,
    get_rule,
    list_rules,
    delete_rule,
    put_experiment,
    get_experiment,
    list_experiments,
    delete_experiment,
    stop_experiment,
    experiment_results,
    get_report,
    get_weights,
    put_weights,
    reset_weights,
    list_namespaces,
    put_namespace,
    get_namespace,
    submit_job,
    list_jobs,
    get_job,
    cancel_job,
    list_snapshots,
    promote_snapshot,
    roll_back,
    follow_flow,
    show_config,
]

__all__ = ["OPERATIONS", "V1"]
