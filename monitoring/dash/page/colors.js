// Grafana's names of colours, and its palette for series without one.

const NAMED = { green: "#56a64b", blue: "#3274d9", orange: "#e0752d", red: "#d43f4d" };
const PALETTE = [
  "#73bf69", "#5794f2", "#f2cc0c", "#b877d9", "#37872d", "#8ab8ff",
  "#ff9830", "#ca95e5", "#96d98d", "#1f60c4", "#fade2a", "#8f3bb8",
];

export const color = (name) => NAMED[name] ?? name;
export const palette = (index) => PALETTE[index % PALETTE.length];
