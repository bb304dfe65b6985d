const response = await fetch('https://linkit.works/api/v1/telemetry', {
headers: { 'Authorization': 'your_api_key_here' }
});
const telemetry = await response.json();
