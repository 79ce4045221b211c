/* Ids: a prefix that says what the id is of, and 26 digits of Crockford's base 32. */

const DIGITS = '[0-9a-hjkmnp-tv-z]{26}';

const whole = (pattern: string) => new RegExp(`^${pattern}$`);

/** The id of a prediction, a batch or a file, anywhere in a text. */
export const RECORD_ID_WITHIN = new RegExp(`(?:pred|batch|file)_${DIGITS}`);
export const PREDICTION_ID = whole(`pred_${DIGITS}`);
export const BATCH_ID = whole(`batch_${DIGITS}`);
export const FILE_ID = whole(`file_${DIGITS}`);
export const ENDPOINT_ID = whole(`whe_${DIGITS}`);

export const isPredictionId = (text: string): boolean => PREDICTION_ID.test(text);
export const isFileId = (text: string): boolean => FILE_ID.test(text);
export const isBatchId = (text: string): boolean => BATCH_ID.test(text);
