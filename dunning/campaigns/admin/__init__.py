"""The pages of campaigns. They read; every step goes through services.py and experiments.py.

/admin/campaigns/campaign/                        what takes cases, with counts and what was recovered
/admin/campaigns/campaign/<id>/change/            one campaign: versions, tests        …/settings/  …/test/
/admin/campaigns/campaignversion/<id>/change/     a version: its days in a row, its segment, what is wrong with it
                      …/edit/  …/activate/  …/preview/  …/discard/
/admin/campaigns/experiment/<id>/change/          an A/B test and what it has shown    …/stop/
"""

from dunning.campaigns.admin import campaign, experiment, version

__all__ = ["campaign", "experiment", "version"]
