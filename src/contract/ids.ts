/* Ids: a prefix that says what the id is of, and 26 digits of Crockford's base 32. */

const DIGITS = '[0-9a-hjkmnp-tv-z]{26}';

const whole = (pattern: string) => new RegExp(`^${pattern}$`);

/** A prediction's id, anywhere in a text. */
export const PREDICTION_ID_WITHIN = new RegExp(`pred_${DIGITS}`);
export const PREDICTION_ID = whole(`pred_${DIGITS}`);
export const ENDPOINT_ID = whole(`whe_${DIGITS}`);

export const isPredictionId = (text: string): boolean => PREDICTION_ID.test(text);
