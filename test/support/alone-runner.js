/* Runs test files one after the other, when no other file runs. */
import TestRunner from 'jest-runner';

export default class AloneRunner extends TestRunner {
  isSerial = true;
}
