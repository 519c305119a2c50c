/* limits.h - whether a run fits into the memory that the user allows, and what would fit if it does not.
 *
 * Changes are tried from the one that costs least to the one that costs most: components that leave when the
 * next one computes, decoding in tiles, a quantised file of the same model that lies in the models folders,
 * one picture at a time; then all of them together. Each is planned, so that the peak that is told is the
 * peak that the changed run has.
 */
#ifndef WEFT_LIMITS_H
#define WEFT_LIMITS_H

#include "engine/session.h"

/* Refuses (E_LIMIT) a plan that exceeds the limits of the session's host; the fix names the cheapest change
 * that would fit. OK without limits. */
Status limits_check(Workflow *w, const CheckReport *report, const Plan *plan, Error *err);

/* Plans the workflow when there are limits, and checks it. Nothing of a model but headers is read. */
Status limits_apply(Workflow *w, const CheckReport *report, Error *err);

#endif
